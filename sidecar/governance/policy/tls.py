"""TLS settings of the documents, as values; the certificates themselves are files, and read elsewhere."""

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from sidecar.governance.documents.document import IngressTlsSettings, TlsSettings
from sidecar.governance.documents.finding import dotted
from sidecar.governance.documents.tls_version import TlsVersion
from sidecar.governance.documents.yaml import Path
from sidecar.governance.policy.bootstrap import Bootstrap
from sidecar.governance.trust.certificates import CertificateFile, CertificateFiles


class Origination(Struct, frozen=True):
    """The TLS of connections to https endpoints. `server_name` None: each by its own host.

    `verify` is True unless a live exception of the policy lets the destination go unverified.
    """

    files: CertificateFiles
    min_version: TlsVersion
    server_name: str | None = None
    verify: bool = True


USUAL: Final = Origination(CertificateFiles(), TlsVersion("1.2"))
"""The TLS where nothing is said: the system's authorities are trusted, and no certificate is shown."""


class Termination(Struct, frozen=True):
    """The TLS of callers. With authorities among the files they must show a certificate from one of them."""

    files: CertificateFiles
    min_version: TlsVersion


def origination_of(name: str, settings: TlsSettings | UnsetType, bootstrap: Bootstrap, *, verify: bool) -> Origination:
    """The TLS settings of the sidecar file for the destination `name`."""
    if settings is UNSET:
        return replace(USUAL, verify=verify)
    here = ("destinations", name, "tls")
    return Origination(
        files=_files(bootstrap, here, {"ca": settings.ca, "cert": settings.cert, "key": settings.key}),
        min_version=settings.min_version,
        server_name=None if settings.server_name is UNSET else settings.server_name.strip("[]"),
        verify=verify,
    )


def termination_of(settings: IngressTlsSettings, bootstrap: Bootstrap) -> Termination:
    """The TLS settings of the sidecar file towards callers."""
    written = {"ca": settings.client_ca, "cert": settings.cert, "key": settings.key}
    return Termination(_files(bootstrap, ("ingress", "tls"), written, {"ca": "client_ca"}), settings.min_version)


def _files(
    bootstrap: Bootstrap, here: Path, written: Mapping[str, str | UnsetType], words: Mapping[str, str] | None = None
) -> CertificateFiles:
    """`words` tell what a file is called in the document, where it is not called as in CertificateFiles."""
    files = {}
    for name, text in written.items():
        if text is UNSET:
            continue
        path = (*here, (words or {}).get(name, name))
        file, line = (str(bootstrap.file), None) if bootstrap.tree is None else bootstrap.tree.place(path)
        files[name] = CertificateFile(bootstrap.path(text), text, file, line, dotted(path))
    return CertificateFiles(**files)
