"""`sidecar policy keygen`: a pair of keys for a signer of policies."""

import base64
import os
from pathlib import Path

import click
from msgspec import inspect

from sidecar.cli.ending import give_up
from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.public_key import KeyName
from sidecar.governance.documents.yaml import Tree
from sidecar.governance.trust import signature


@click.command()
@click.argument("name")
@click.option(
    "--directory", type=click.Path(path_type=Path, file_okay=False, exists=True), default=Path(), help="[default: here]"
)
def keygen(*, name: str, directory: Path) -> None:
    """Make NAME.key, which is secret and signs, and NAME.pub; print the line that pins it in a sidecar file.

    Neither file is ever written over. The private key has no passphrase: keep it where only its owner can read it.
    """
    findings: list[Finding] = []
    Decoder(Tree("NAME", name, {}), findings).value(name, inspect.type_info(KeyName), ())
    if findings:
        give_up(None, f"NAME: {findings[0].rule}, got {findings[0].value}")
    private_file, public_file = directory / f"{name}.key", directory / f"{name}.pub"
    try:
        ed25519 = signature.ed25519()
        private, public = ed25519.generate()
        for file in (private_file, public_file):
            if file.exists():
                give_up(None, f"{file}: is there already, and is not written over")
        _create(private_file, private, 0o600)
        _create(public_file, public, 0o644)
    except signature.LacksExtra as error:
        give_up(None, str(error))
    except OSError as error:
        give_up(None, f"{error.filename}: {error.strerror}")
    click.echo(f"{private_file} is secret; {public_file} is not. In the sidecar file, under policy:", err=True)
    click.echo(f'keys: {{{name}: "{base64.b64encode(ed25519.public_bytes(public)).decode()}"}}')


def _create(file: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
