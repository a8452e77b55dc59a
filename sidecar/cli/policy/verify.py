"""`sidecar policy verify`: whether a sidecar would believe a policy."""

import base64
import sys
from pathlib import Path

import click

from sidecar.cli.ending import give_up
from sidecar.governance.documents.document import PolicySettings
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId
from sidecar.governance.documents.public_key import PublicKey
from sidecar.governance.policy import bootstrap
from sidecar.governance.policy.authority import authority_from
from sidecar.governance.review.check import Candidate, DocumentKind, kind_of
from sidecar.governance.trust import signature


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--keys",
    "key_files",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="An authority or a sidecar file that pins keys, or a public key (NAME.pub); more than once for several.",
)
@click.option("--required", type=click.IntRange(min=1), help="How many must have signed. [default: as that file says]")
def verify(*, file: Path, key_files: tuple[Path, ...], required: int | None) -> None:
    """Check the signatures in FILE.sig over the policy FILE, as a sidecar does.

    Exit code 0 when enough of the keys have signed exactly these bytes, 1 when not. With public keys all of them must
    have signed, unless --required says otherwise.
    """
    keys: dict[str, PublicKey] = {}
    pinned = 0
    beside = file.with_name(file.name + signature.SUFFIX)
    try:
        content = file.read_bytes()
        signatures = beside.read_bytes() if beside.exists() else None
        for key_file in key_files:
            found, least = _keys(key_file)
            keys |= found
            pinned += least
    except InvalidDocument as error:
        give_up(None, str(error))
    except OSError as error:
        give_up(None, f"{error.filename}: can not be read: {error.strerror}")
    except signature.LacksExtra as error:
        give_up(None, str(error))
    if required is not None and required > len(keys):
        give_up(None, f"--required: must be at most the number of keys ({len(keys)}), got {required}")
    try:
        signers = signature.require(signature.POLICY, content, signatures, str(file), keys, required or pinned)
    except InvalidDocument as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    click.echo(f"{file}: signed by {', '.join(signers)}")


def _keys(file: Path) -> tuple[dict[str, PublicKey], int]:
    """The keys in a file, and how many of them must have signed. Raises InvalidDocument."""
    content = file.read_bytes()
    if b"-----BEGIN" in content:
        try:
            key = PublicKey.parse(base64.b64encode(signature.ed25519().public_bytes(content)).decode())
        except ValueError as error:
            raise InvalidDocument([Finding(str(file), None, "", str(error))]) from None
        return {file.stem: key}, 1
    findings: list[Finding] = []
    if kind_of(Candidate(str(file), content)) is DocumentKind.AUTHORITY:
        settings: PolicySettings | None = authority_from(file, content).policy
    else:
        settings = bootstrap.from_file(file, content, findings).policy
    if findings:
        raise InvalidDocument(findings)
    if settings is None or not settings.keys:
        raise InvalidDocument(
            [Finding(str(file), None, "policy.keys", "is required: the file pins no keys", rule_id=RuleId.REQUIRED)]
        )
    return dict(settings.keys), settings.required
