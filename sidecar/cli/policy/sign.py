"""`sidecar policy sign`: one person's signature under a policy, beside those of others."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from sidecar.cli.ending import give_up
from sidecar.governance.documents.document import SidecarDocument
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.documents.yaml import Tree
from sidecar.governance.policy.bootstrap import Bootstrap
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.snapshot import compiled
from sidecar.governance.trust import signature


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--key", "key_file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The private key."
)
@click.option("--key-id", help="The name it is pinned by.  [default: the name of the key's file]")
def sign(*, file: Path, key_file: Path, key_id: str | None) -> None:
    """Sign the policy FILE: add a line to FILE.sig, or replace the one that this key has there.

    A policy with a mistake in it is not signed: exit code 1, with every mistake.
    """
    beside = file.with_name(file.name + signature.SUFFIX)
    name = key_id or key_file.stem
    try:
        content = file.read_bytes()
        private = key_file.read_bytes()
        signatures = signature.read(beside.read_bytes(), str(beside)) if beside.exists() else []
        mine = signature.sign(signature.POLICY, content, name, private)
    except InvalidDocument as error:
        give_up(None, str(error))
    except OSError as error:
        give_up(None, f"{error.filename}: can not be read: {error.strerror}")
    except ValueError as error:
        give_up(None, f"{key_file}: {error}")
    except signature.LacksExtra as error:
        give_up(None, str(error))
    try:
        version = _version(Delivery(str(file), content))
    except InvalidDocument as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    others = [other for other in signatures if other.key != name]
    try:
        beside.write_bytes(signature.written([*others, mine]))
    except OSError as error:
        give_up(None, f"{beside}: can not be written: {error.strerror}")
    click.echo(f"{beside}: version {version} signed by {name}")


def _version(delivery: Delivery) -> int:
    """The version of a policy that is right by itself. Raises InvalidDocument."""
    no_service = Bootstrap(
        sidecar=SidecarDocument(service="any"),
        tree=Tree("", {}, {}),
        content=b"",
        file=None,
        hosts={},
        listen={},
        warnings=(),
    )
    return compiled(no_service, delivery, [], datetime.now(UTC)).version
