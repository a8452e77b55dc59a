"""`sidecar demo`: the main job on one machine with nothing else installed."""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.padding import Padding

from sidecar.demo.account import Account
from sidecar.demo.charges.account import ChargeAccount
from sidecar.demo.charges.play import FAST_CHARGES, FULL_CHARGES
from sidecar.demo.charges.service import COUNTS, PAYMENTS
from sidecar.demo.charges.show import KEPT_RATE, ChargePlaces, ChargesShow
from sidecar.demo.script import FAST, FULL
from sidecar.demo.show import LIGHT_RATE, Addresses, Show
from sidecar.demo.stage import Stage, StageError
from sidecar.net import Address
from sidecar.telemetry.history import ROWS
from sidecar.watch.document import Unreadable, decode, fetch
from sidecar.watch.incident import Span, incidents
from sidecar.watch.incident_page import page

INTERRUPTED = 130


@click.command()
@click.option(
    "--charges",
    is_flag=True,
    help="Show what lost answers do to payments instead: charges per order, behind the gate and without it.",
)
@click.option("--keep", is_flag=True, help="Leave it running afterwards, with the addresses to look at, until Ctrl-C.")
@click.option("--fast", is_flag=True, help="A shorter script of about 15 seconds.")
@click.option(
    "--json",
    "report",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the figures to FILE.",
)
@click.option(
    "--incident",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the incident page of the governed side to FILE.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The dice of traffic and service times.")
@click.option(
    "--admin-port",
    type=click.IntRange(1, 65535),
    help="Where the sidecar's admin listens on 127.0.0.1. [default: 16000, or any free one]",
)
def demo(
    *,
    charges: bool,
    keep: bool,
    fast: bool,
    report: Path | None,
    incident: Path | None,
    seed: int,
    admin_port: int | None,
) -> None:
    """Show what retries do to a dependency that blips, with and without the sidecar.

    Starts two copies of a small dependency of finite capacity, a sidecar in front of one, and sends the same traffic to
    both: through the sidecar, and from a client that just retries three times. Ends by itself in about 40 seconds.

    With --charges: two copies of a payment service whose answers get lost, an ingress gate in front of one, and the
    same orders paid at both by clients that try again. Ends by itself in about 25 seconds; exit code 1 if an order
    behind the gate was charged twice.
    """
    for flag, file in (("--json", report), ("--incident", incident)):
        if file is not None and not file.parent.is_dir():
            click.echo(f"sidecar demo: {flag}: {file.parent} is not a directory", err=True)
            sys.exit(2)
    if charges and incident is not None:
        click.echo("sidecar demo: --incident: is of the storm, which --charges does not play", err=True)
        sys.exit(2)
    console = Console()
    with tempfile.TemporaryDirectory(prefix="sidecar-demo-") as name:
        folder = Path(name)
        stage = Stage(folder)
        if charges:
            play = FAST_CHARGES if fast else FULL_CHARGES
            charging = ChargesShow(console, play, stage, seed=seed, admin_port=admin_port)
            acts = _charge(console, charging, folder, report=report, keep=keep)
        else:
            show = Show(console, FAST if fast else FULL, stage, fast=fast, seed=seed, admin_port=admin_port)
            acts = _storm(console, show, folder, report=report, incident=incident, keep=keep)
        try:
            code = asyncio.run(_run(stage, acts))
        except (KeyboardInterrupt, asyncio.CancelledError):  # again, before everything had ended by itself
            code = INTERRUPTED
        finally:
            stage.kill()
    sys.exit(code)


async def _run(stage: Stage, acts: AsyncGenerator[int, None]) -> int:
    """Go through the acts; each yields the exit code as it is then."""
    task = asyncio.current_task()
    ended_by: list[int] = []

    def end(number: int) -> None:
        ended_by.append(number)
        if task is not None:
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end, number)
    code: int | None = None
    try:
        async for act in acts:
            code = act
    except asyncio.CancelledError:
        if ended_by == [] or ended_by[0] == signal.SIGINT:
            return INTERRUPTED if code is None else code
        return 128 + ended_by[0]
    except (StageError, Unreadable) as error:
        click.echo(f"sidecar demo: {error}", err=True)
        return 2
    finally:
        await stage.close()
    return code or 0


async def _storm(
    console: Console, show: Show, folder: Path, *, report: Path | None, incident: Path | None, keep: bool
) -> AsyncGenerator[int, None]:
    account = await show.play(folder)
    yield 0
    _tell(console, account)
    if report is not None:
        _write(report, account)
    if incident is not None and show.addresses is not None:
        await asyncio.to_thread(_write_incident, incident, show.addresses, account.script.seconds)
    if keep and show.addresses is not None:
        _invite(console, show.addresses, folder)
        await show.keep()
    elif not keep:
        _suggest(console)


async def _charge(
    console: Console, show: ChargesShow, folder: Path, *, report: Path | None, keep: bool
) -> AsyncGenerator[int, None]:
    try:
        account = await show.play(folder)
        yield 0 if account.at_most_once else 1
        _tell(console, account)
        if report is not None:
            _write(report, account)
        if keep and show.places is not None:
            _invite_to_charges(console, show.places, folder)
            await show.keep()
        elif not keep:
            _suggest(console)
    finally:
        show.close()


def _tell(console: Console, account: Account | ChargeAccount) -> None:
    console.print()
    console.print(account.table())
    console.print(Padding(account.verdict(), (0, 1)), highlight=False)
    console.print()


def _write(report: Path, account: Account | ChargeAccount) -> None:
    report.write_text(json.dumps(account.document(), indent=2) + "\n", encoding="utf-8")


def _write_incident(file: Path, addresses: Addresses, seconds: float) -> None:
    """The sidecar's own account of the storm, as `sidecar report` tells it."""
    admin = Address("127.0.0.1", addresses.admin)
    document = decode(fetch(admin, ROWS), f"http://{admin}/")
    span = Span(document.at - seconds - 2, document.at)
    file.write_text(
        page(
            incidents(document, span.begins, span.ends),
            service=document.service,
            version=document.version,
            told_at=document.at,
            span=span,
            zone=datetime.now(UTC).astimezone().tzinfo or UTC,
        ),
        encoding="utf-8",
    )


def _invite(console: Console, addresses: Addresses, folder: Path) -> None:
    dependency = f"http://127.0.0.1:{addresses.dependency}"
    lines = [
        f"It goes on with {LIGHT_RATE:.0f} requests/s through the sidecar until Ctrl-C:",
        f"  the live page          http://127.0.0.1:{addresses.admin}/",
        f"  the same here          sidecar top --admin 127.0.0.1:{addresses.admin}",
        f"  the incident           sidecar report -5m now --admin 127.0.0.1:{addresses.admin}",
        f"  its state              http://127.0.0.1:{addresses.admin}/destinations",
        f"  its metrics            http://127.0.0.1:{addresses.admin}/metrics",
        f"  its policy             {folder / 'policy.yaml'} (edit it: it is read again)",
        f"  its log                {folder / 'sidecar.log'}",
        f"  through the sidecar    curl -i http://127.0.0.1:{addresses.payments}/balance",
        f"  the dependency         {dependency}/-/state",
        f"  make trouble again     curl -X POST '{dependency}/-/phase/hanging?seconds=5'",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _invite_to_charges(console: Console, places: ChargePlaces, folder: Path) -> None:
    payment = f"http://127.0.0.1:{places.ingress}{PAYMENTS}"
    sent = "-H 'Idempotency-Key: mine' --json '{\"order\": \"mine\"}'"
    lines = [
        f"It goes on with {KEPT_RATE:.0f} orders/s on both sides until Ctrl-C:",
        f"  the table as a page    http://127.0.0.1:{places.board}/",
        f"  the live page          http://127.0.0.1:{places.admin}/#h-keys",
        f"  the same here          sidecar top --admin 127.0.0.1:{places.admin}",
        f"  the partner contract   http://127.0.0.1:{places.ingress}/.well-known/idempotency",
        f"  its sidecar file       {folder / 'sidecar.yaml'}",
        f"  its log                {folder / 'sidecar.log'}",
        f"  pay behind the gate    curl -i {payment} {sent}",
        f"  what was charged       http://127.0.0.1:{places.gated}{COUNTS} and http://127.0.0.1:{places.naive}{COUNTS}",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _suggest(console: Console) -> None:
    lines = [
        "Next:",
        "  leave it running and look around:     sidecar demo --keep",
        "  put it in front of your own service:  sidecar run --upstream payments=http://127.0.0.1:9001",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
