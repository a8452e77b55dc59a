"""Certificates and keys: files that the sidecar file names, read, judged, and read again when they change.

They are no part of the documents: a policy can be judged on a machine that has none of them, a certificate is renewed
though a document is broken, and a broken certificate holds no policy back. What was good when it was read last stays.
"""

import os
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from sidecar.governance.documents.file import read_regular
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId, shown
from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES


class CertificateFile(Struct, frozen=True, eq=False):
    """A file, and where which document names it: only the file makes two of them differ."""

    path: Path
    written: str
    document: str
    line: int | None
    field: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CertificateFile) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def finding(self, rule: str, rule_id: RuleId = RuleId.VALUE) -> Finding:
        """A finding about the file, at the place of the document that names it."""
        return Finding(self.document, self.line, self.field, rule, shown(self.written), rule_id)


class CertificateFiles(Struct, frozen=True):
    """The files of one `tls` block: the authorities to trust, and a certificate with its key. None where unnamed."""

    ca: CertificateFile | None = None
    cert: CertificateFile | None = None
    key: CertificateFile | None = None

    def __iter__(self) -> Iterator[CertificateFile]:
        """Those that are named."""
        return (file for file in (self.ca, self.cert, self.key) if file is not None)


class Certificates(Struct, frozen=True):
    """The contents of the files of one block, in PEM. Contexts are made of these bytes and of nothing read later."""

    ca: bytes | None = None
    cert: bytes | None = None
    key: bytes | None = None

    def __repr__(self) -> str:
        return f"Certificates(ca={self.ca!r}, cert={self.cert!r})"  # a key is in no log and no traceback

    def load_into(self, context: ssl.SSLContext) -> None:
        """Trust the authorities, if any are named, and show the certificate, if there is one. Raises ssl.SSLError."""
        if self.ca is not None:
            context.load_verify_locations(cadata=_text(self.ca))
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # what is named is trusted, a root or not
        if self.cert is not None and self.key is not None:
            with _file_of(self.cert) as cert, _file_of(self.key) as key:
                context.load_cert_chain(cert, key, _no_password)


class Renewal(Struct, frozen=True):
    """The result of reading the files again: those with other contents, and the findings about the others."""

    renewed: tuple[CertificateFiles, ...]
    findings: tuple[Finding, ...]


class CertificateStore:
    """The certificates in use, by the files they are from."""

    def __init__(self) -> None:
        self._good: dict[CertificateFiles, Certificates] = {}
        self.successes = 0
        """Renewals since the start: files read with other contents than before, all of them good."""
        self.failures = 0
        self.findings: tuple[Finding, ...] = ()
        """The findings of the last reading; while there are any, the last good contents are in use."""

    def __getitem__(self, files: CertificateFiles) -> Certificates:
        return self._good[files]

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, to be watched."""
        return tuple(dict.fromkeys(file.path for files in self._good for file in files))

    def adopt(self, wanted: Iterable[CertificateFiles]) -> Renewal:
        """Read these, and be done with all others. Raises InvalidDocument where no last good content could stay."""
        good: dict[CertificateFiles, Certificates] = {}
        renewed: list[CertificateFiles] = []
        findings: list[Finding] = []
        lacking = False
        for files in dict.fromkeys(wanted):
            before = self._good.get(files)
            try:
                good[files] = read_certificates(files)
            except InvalidDocument as error:
                findings += error.findings
                if before is None:
                    lacking = True
                else:
                    good[files] = before
            else:
                if before is not None and before != good[files]:
                    renewed.append(files)
        self.successes += len(renewed)
        self.failures += bool(findings)
        if lacking:
            raise InvalidDocument(findings)
        self._good = good
        self.findings = tuple(findings)
        return Renewal(tuple(renewed), self.findings)

    def renew(self) -> Renewal:
        """Read all files again."""
        return self.adopt(tuple(self._good))


def read_certificates(files: CertificateFiles) -> Certificates:
    """Read the files of one block and judge them. Raises InvalidDocument."""
    findings: list[Finding] = []
    contents: dict[str, bytes] = {}
    for name in ("ca", "cert", "key"):
        file: CertificateFile | None = getattr(files, name)
        if file is not None and (content := _read(file, findings)) is not None:
            contents[name] = content
    certificates = Certificates(**contents)
    for file, content in ((files.ca, certificates.ca), (files.cert, certificates.cert)):
        if file is not None and content is not None and (rule := _broken(content)) is not None:
            findings.append(file.finding(rule))
    if not findings and files.cert is not None and files.key is not None:
        try:
            Certificates(cert=certificates.cert, key=certificates.key).load_into(
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            )
        except _Encrypted:
            findings.append(files.key.finding("must not need a password: there is no one to type it"))
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                findings.append(files.key.finding(f"must be the key of {files.cert.field} ({files.cert.written})"))
            elif error.reason in _TOO_WEAK:
                findings.append(files.cert.finding(f"must be strong enough for TLS: {_said(error)}"))
            else:
                findings.append(
                    files.key.finding("must be a private key in PEM, BEGIN PRIVATE KEY and so on", rule_id=RuleId.FORM)
                )
    if findings:
        raise InvalidDocument(findings)
    return certificates


_TOO_WEAK: Final = {"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"}


class _Encrypted(Exception):
    """A key that wants a password, which OpenSSL would otherwise ask the terminal for."""


def _no_password() -> str:
    raise _Encrypted


def _read(file: CertificateFile, findings: list[Finding]) -> bytes | None:
    try:
        content = read_regular(file.path, SIZE_CEILING_BYTES)
    except OSError as error:
        findings.append(file.finding(f"can not be read: {error.strerror or error}", RuleId.UNREADABLE))
        return None
    if len(content) > SIZE_CEILING_BYTES:
        findings.append(file.finding(f"must not be larger than {SIZE_CEILING_BYTES >> 20}MiB", rule_id=RuleId.BOUNDS))
        return None
    return content


def _broken(content: bytes) -> str | None:
    """The rule that a file of certificates breaks, or None."""
    if b"-----BEGIN CERTIFICATE-----" not in content and b"-----BEGIN TRUSTED CERTIFICATE-----" not in content:
        return "must hold a certificate in PEM, BEGIN CERTIFICATE and so on"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=_text(content))
    except ssl.SSLError as error:
        return f"must hold whole certificates: {_said(error)}"
    return None


def _said(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


def _text(content: bytes) -> str:
    # Bundles have comments in every language; what counts is ASCII (RFC 7468 §3).
    return content.decode("ascii", "ignore")


@contextmanager
def _file_of(content: bytes) -> Iterator[str]:
    """A path that OpenSSL can read `content` from: it takes keys from files only, and those may change meanwhile."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("sidecar")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as stream:
                stream.write(content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:  # only this process's user may read it, and it is gone at once
        with tempfile.NamedTemporaryFile() as stream:
            stream.write(content)
            stream.flush()
            yield stream.name
