"""`sidecar run`: the proxy."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import click

from sidecar.app import serve
from sidecar.governance.address import Address
from sidecar.governance.finding import InvalidDocument
from sidecar.governance.snapshot import Snapshot, from_flags, load
from sidecar.telemetry.log import Format, Level, configure


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="The service's sidecar file (config/sidecar.yaml).")
@click.option("--upstream", "upstreams", multiple=True, metavar="NAME=URL", help="A destination, instead of a file.")
@click.option("--listen", metavar="ADDRESS", help="Where requests come in, with --upstream. [default: port 16001]")
@click.option("--policy", type=click.Path(path_type=Path), help="The fleet's policy file, with --upstream.")
@click.option("--service", default="service", show_default=True, help="The name of the service, with --upstream.")
@click.option(
    "--admin", metavar="ADDRESS", help="Where the admin plane listens, with --upstream. [default: port 16000]"
)
@click.option(
    "--log-format",
    type=click.Choice([style.value for style in Format]),
    help="[default: console on a terminal, else json]",
)
@click.option("--log-level", type=click.Choice([level.value for level in Level]), default="info", show_default=True)
def run(
    *,
    config: Path | None,
    upstreams: tuple[str, ...],
    listen: str | None,
    policy: Path | None,
    service: str,
    admin: str | None,
    log_format: str | None,
    log_level: str,
) -> None:
    """Run the proxy, from a sidecar file or from flags.

    SIGHUP loads the policy again (a change of its files does so too), SIGTERM drains and ends, a second SIGTERM ends at
    once.
    """
    source = _source(config, upstreams, listen, policy, service, admin)
    try:
        snapshot = source()
    except InvalidDocument as error:
        _give_up(str(error))
    terminal = sys.stderr.isatty()
    style = Format(log_format or ("console" if terminal else "json"))
    log = configure(style, Level(log_level), colours=terminal)
    try:
        serve(source, snapshot, log)
    except OSError as error:
        log.close()
        _give_up(f"sidecar: {error.strerror or error}")


def _source(
    config: Path | None,
    upstreams: tuple[str, ...],
    listen: str | None,
    policy: Path | None,
    service: str,
    admin: str | None,
) -> Callable[[], Snapshot]:
    """How the documents are read, now and at each reload."""
    if config is not None:
        for flag, value in (("--upstream", upstreams), ("--listen", listen), ("--policy", policy), ("--admin", admin)):
            if value:
                raise click.UsageError(f"{flag} does not go with --config: the sidecar file says it")
        return lambda: load(config, datetime.now(UTC))
    if not upstreams:
        raise click.UsageError("say what to call: --config FILE, or --upstream NAME=URL")
    address = None
    if admin is not None:
        try:
            address = Address.parse(admin)
        except ValueError as error:
            raise click.BadParameter(f"{error}, got {admin!r}", param_hint="--admin") from None

    def read() -> Snapshot:
        snapshot = from_flags(service, upstreams, listen, policy, datetime.now(UTC))
        return snapshot if address is None else replace(snapshot, admin=address)

    return read


def _give_up(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(2)
