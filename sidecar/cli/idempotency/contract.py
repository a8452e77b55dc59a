"""`sidecar idempotency contract`: what changes from one partner contract to the next, and whom it hurts."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from sidecar.cli.authority import authority_option
from sidecar.cli.idempotency.admin_call import give_up
from sidecar.cli.moment import moment
from sidecar.cli.policy.documents import snapshot_of
from sidecar.governance.policy.partner_contract import contract_changes


@click.group()
def contract() -> None:
    """Print the partner contract, as /.well-known/idempotency has it, and compare versions of it."""


@contract.command()
@click.option(
    "--config", type=click.Path(path_type=Path), required=True, help="The service's sidecar file (config/sidecar.yaml)."
)
@click.option("--policy", type=click.Path(path_type=Path), help="A policy to print it by, instead of the one it names.")
@authority_option
@click.option("--at", "now", metavar="DATE", callback=moment, help="Print it as of this day or instant. [default: now]")
def show(*, config: Path, policy: Path | None, authority: Path | None, now: datetime) -> None:
    """Print the contract that these documents amount to, without a running sidecar."""
    snapshot = snapshot_of(config, policy, authority, now, "idempotency contract show")
    if snapshot.ingress is None:
        give_up("contract show", f"{config}: has no ingress: there is no contract")
    click.echo(json.dumps(snapshot.ingress.contract, indent=2))


@contract.command()
@click.argument("old", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("new", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def diff(*, old: Path, new: Path, form: str) -> None:
    """Say what NEW changes for a partner who keeps to OLD.

    A shorter retention, a renamed header, another status, a key that becomes required or a route that goes are
    breaking; so is any change without a rise of the version. Exits with 1 if any change is.
    """
    before, after = _read(old), _read(new)
    try:
        changes = sorted(contract_changes(before, after), key=lambda change: (not change.breaks, change.route))
    except ValueError as error:
        give_up("contract diff", f"{old}, {new}: {error}")
    if form == "json":
        listed = [{"breaking": each.breaks, "route": each.route or None, "change": each.what} for each in changes]
        click.echo(json.dumps({"changes": listed}, indent=2))
    else:
        for change in changes:
            click.echo(str(change))
        if not changes:
            click.echo("no difference")
    sys.exit(1 if any(change.breaks for change in changes) else 0)


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        give_up("contract diff", f"{file}: can not be read: {error.strerror or error}")
    except ValueError as error:
        give_up("contract diff", f"{file}: is no JSON: {error}")
    if not isinstance(document, dict):
        give_up("contract diff", f"{file}: is no contract")
    return document
