"""`sidecar idempotency erase`: the contents of one caller's answers are let go of."""

from pathlib import Path

import click

from sidecar.cli.idempotency.admin_call import admin_options, call, read_scope


@click.command()
@click.option("--route", required=True, help="A route, by its name: it says which headers tell callers apart.")
@click.option("--scope", multiple=True, required=True, metavar="HEADER:VALUE", help="The caller, by those headers.")
@admin_options
def erase(*, route: str, scope: tuple[str, ...], admin: str, token_file: Path) -> None:
    """Erase the answers kept for one caller, and what people wrote in the journals. That the keys were used stays."""
    erased = call("erase", admin, token_file, "/idempotency/erase", {"route": route, "scope": read_scope(scope)})
    click.echo(f"{erased['erased']} erased")
