"""`sidecar health`: whether a running sidecar is ready. Probes run it every few seconds, so it imports little."""

import os
import sys
from typing import Final

import click

from sidecar.cli.ending import give_up
from sidecar.net import Address
from sidecar.watch.printable import printable
from sidecar.watch.readiness import NotAnswered, ask

_ADMIN: Final = "admin"
_ADMIN_VARIABLE: Final = "SIDECAR_ADMIN"
_USUAL_ADMIN: Final = "127.0.0.1:16000"


def _address(_context: click.Context, _parameter: click.Parameter, written: str) -> Address:
    """The address; the word `admin` is the one that SIDECAR_ADMIN names, else the usual one."""
    if written == _ADMIN:
        written = os.environ.get(_ADMIN_VARIABLE) or _USUAL_ADMIN
    try:
        return Address.parse(written.removeprefix("http://").rstrip("/"))
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {written!r}") from None


@click.command()
@click.option(
    "--address",
    default=_ADMIN,
    show_default=True,
    callback=_address,
    metavar="ADDRESS|admin",
    help=f"Its admin or metrics listener; `admin`: what {_ADMIN_VARIABLE} names, else {_USUAL_ADMIN}.",
)
@click.option(
    "--timeout", type=click.FloatRange(0.1, 60.0), default=2.0, show_default=True, help="Seconds for all of it."
)
def health(*, address: Address, timeout: float) -> None:
    """Say whether a running sidecar is ready: its policy is in force, and its ports are bound.

    Exit code 0 when it is, 1 with the reasons when it is not, 2 when it could not be asked. Warnings are printed and do
    not make it unready.
    """
    try:
        readiness = ask(address, timeout)
    except NotAnswered as error:
        give_up("sidecar health", str(error))
    click.echo("ready" if readiness.ready else "not ready")
    for reason in readiness.reasons:
        click.echo(f"  {printable(reason)}")
    for warning in readiness.warnings:
        click.echo(f"  warning: {printable(warning)}")
    sys.exit(0 if readiness.ready else 1)
