"""`sidecar webhook`: the admission webhook that adds the sidecar to pods when they are created."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

import click
import uvloop

from sidecar.background import BackgroundTasks
from sidecar.cli.boot_options import log_options
from sidecar.cli.ending import give_up
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.documents.units import Duration
from sidecar.inject.webhook import BACKGROUND_TASKS, WebhookFiles, WebhookServer
from sidecar.net import Address
from sidecar.telemetry.log import Format, Log, LogLevel, configure

_COMMAND: Final = "sidecar webhook"


def _address(_context: click.Context, _parameter: click.Parameter, written: str) -> Address:
    try:
        return Address.parse(written)
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {written!r}") from None


def _seconds(_context: click.Context, _parameter: click.Parameter, written: str) -> float:
    try:
        return float(Duration.parse(written))
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {written!r}") from None


@click.command()
@click.option("--listen", default="0.0.0.0:16443", show_default=True, callback=_address, metavar="ADDRESS")
@click.option("--tls-cert", type=click.Path(path_type=Path), required=True, help="The certificate, in PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), required=True, help="Its key, in PEM.")
@click.option("--settings", type=click.Path(path_type=Path), help="injection.yaml. [default: none]")
@click.option(
    "--grace", default="5s", show_default=True, callback=_seconds, metavar="DURATION",
    help="How long it serves on after SIGTERM, until API servers have left it.",
)  # fmt: skip
@log_options
def webhook(
    *,
    listen: Address,
    tls_cert: Path,
    tls_key: Path,
    settings: Path | None,
    grace: float,
    log_format: str | None,
    log_level: str,
) -> None:
    """Serve AdmissionReviews at POST /mutate, and /livez, /readyz and /metrics, over TLS.

    Files are read again when they change; what is wrong then leaves the last good one in use. SIGTERM drains and ends,
    a second one ends at once.
    """
    style = Format(log_format or ("console" if sys.stderr.isatty() else "json"))
    log = configure(style, LogLevel(log_level), colours=sys.stderr.isatty())
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(WebhookFiles(tls_cert, tls_key, settings), listen, grace, log))
    except InvalidDocument as error:
        log.close()
        give_up(None, str(error))
    except OSError as error:
        log.close()
        give_up(_COMMAND, f"{listen}: {error.strerror or error}")
    log.close()


async def _serve(files: WebhookFiles, listen: Address, grace: float, log: Log) -> None:
    server = WebhookServer(files, log.logger.log)
    address = await server.start(listen)
    background = BackgroundTasks(BACKGROUND_TASKS, log.logger.log)
    server.watch(background)
    log.lifecycle("start", listen=f"https://{address}", image=server.settings.image, failure=server.settings.failure)
    ended = _signals()
    await ended[0].wait()
    draining = asyncio.create_task(server.drain(grace))
    at_once = asyncio.create_task(ended[1].wait())
    await asyncio.wait((draining, at_once), return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, at_once):
        task.cancel()
    await background.close()
    await server.close()
    log.lifecycle("stop")


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Set by the first SIGTERM or SIGINT, and by the second one."""
    first, second = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, (second if first.is_set() else first).set)
    return first, second
