"""`sidecar run`: the proxy."""

import os
import socket
import sys
from pathlib import Path

import click

from sidecar.app import serve
from sidecar.cli.authority import authority_option
from sidecar.cli.ending import give_up
from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.loading.loader import PolicyLoader
from sidecar.governance.policy.bootstrap import Bootstrap, from_flags
from sidecar.idempotency.store import UnfitStore
from sidecar.telemetry.log import Format, LogLevel, configure
from sidecar.telemetry.tracing import TracingUnavailable


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="The service's sidecar file (config/sidecar.yaml).")
@click.option("--upstream", "upstreams", multiple=True, metavar="NAME=URL", help="A destination, instead of a file.")
@click.option("--listen", metavar="ADDRESS", help="Where requests come in, with --upstream. [default: port 16001]")
@click.option("--policy", type=click.Path(path_type=Path), help="The fleet's policy file, with --upstream.")
@click.option("--service", default="service", show_default=True, help="The name of the service, with --upstream.")
@click.option(
    "--admin", metavar="ADDRESS", help="Where the admin plane listens, with --upstream. [default: port 16000]"
)
@authority_option
@click.option("--strict", is_flag=True, help="Refuse to start without a valid policy, instead of on the built-in one.")
@click.option(
    "--log-format",
    type=click.Choice([style.value for style in Format]),
    help="[default: console on a terminal, else json]",
)
@click.option("--log-level", type=click.Choice([level.value for level in LogLevel]), default="info", show_default=True)
def run(
    *,
    config: Path | None,
    upstreams: tuple[str, ...],
    listen: str | None,
    policy: Path | None,
    service: str,
    admin: str | None,
    authority: Path | None,
    strict: bool,
    log_format: str | None,
    log_level: str,
) -> None:
    """Run the proxy, from a sidecar file or from flags.

    SIGHUP loads the policy again (a change of its files does so too), SIGTERM drains and ends, a second SIGTERM ends at
    once.
    """
    boot = _boot(config, upstreams, listen, policy, service, admin)
    terminal = sys.stderr.isatty()
    style = Format(log_format or ("console" if terminal else "json"))
    log = configure(style, LogLevel(log_level), colours=terminal)
    try:
        serve(PolicyLoader(boot, _pod(), authority=authority), log, strict=strict)
    except InvalidDocument as error:
        log.close()
        give_up(None, str(error))
    except OSError as error:
        log.close()
        give_up(None, f"sidecar: {error.strerror or error}")
    except (TracingUnavailable, UnfitStore) as error:
        log.close()
        give_up(None, str(error))


def _boot(
    config: Path | None,
    upstreams: tuple[str, ...],
    listen: str | None,
    policy: Path | None,
    service: str,
    admin: str | None,
) -> Path | Bootstrap:
    """The sidecar file, read now and at each reload; or what the flags amount to."""
    if config is not None:
        for flag, value in (("--upstream", upstreams), ("--listen", listen), ("--policy", policy), ("--admin", admin)):
            if value:
                raise click.UsageError(f"{flag} does not go with --config: the sidecar file says it")
        return config
    if not upstreams:
        raise click.UsageError("say what to call: --config FILE, or --upstream NAME=URL")
    findings: list[Finding] = []
    bootstrap = from_flags(service, upstreams, listen, policy, admin, findings)
    if findings:
        give_up(None, str(InvalidDocument(findings)))
    return bootstrap


def _pod() -> str:
    """The name by which rollouts know this sidecar: it should stay the same over restarts."""
    return os.environ.get("POD_NAME") or os.environ.get("HOSTNAME") or socket.gethostname()
