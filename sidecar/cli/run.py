"""`sidecar run`: the proxy."""

import os
import socket
import sys
from pathlib import Path

import click

from sidecar.app import serve
from sidecar.cli.boot_options import boot_options, boot_source, log_options
from sidecar.cli.ending import give_up
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.loading.loader import PolicyLoader
from sidecar.idempotency.store import UnfitStore
from sidecar.telemetry.log import Format, LogLevel, configure
from sidecar.telemetry.tracing import TracingUnavailable


@click.command()
@boot_options
@click.option(
    "--hand-over",
    type=click.Path(path_type=Path),
    metavar="SOCKET",
    envvar="SIDECAR_HAND_OVER",
    show_envvar=True,
    help="Take over the ports of the sidecar that listens there, without a request lost, and offer them to the next.",
)
@log_options
@click.pass_context
def run(
    context: click.Context,
    *,
    config: Path | None,
    config_optional: bool,
    authority: Path | None,
    hand_over: Path | None,
    strict: bool,
    log_format: str | None,
    log_level: str,
) -> None:
    """Run the proxy, from a sidecar file, from flags or variables, or from both.

    Flags win over variables, variables over the file; `sidecar explain config` says where each value comes from.
    SIGHUP loads the policy again (a change of its files does so too), SIGTERM drains and ends, a second SIGTERM ends at
    once. With --hand-over a second `sidecar run` of the same flags takes over from the first.
    """
    boot = boot_source(context, config, optional=config_optional)
    terminal = sys.stderr.isatty()
    style = Format(log_format or ("console" if terminal else "json"))
    log = configure(style, LogLevel(log_level), colours=terminal)
    try:
        serve(PolicyLoader(boot, _pod(), authority=authority), log, strict=strict, hand_over=hand_over)
    except InvalidDocument as error:
        log.close()
        give_up(None, str(error))
    except OSError as error:
        log.close()
        give_up(None, f"sidecar: {error.strerror or error}")
    except (TracingUnavailable, UnfitStore) as error:
        log.close()
        give_up(None, str(error))


def _pod() -> str:
    """The name by which rollouts know this sidecar: it should stay the same over restarts."""
    return os.environ.get("POD_NAME") or os.environ.get("HOSTNAME") or socket.gethostname()
