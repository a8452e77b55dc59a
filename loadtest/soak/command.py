"""The command `soak`: stage after stage through one running proxy, its peak memory against the bar of each."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

import click
import uvloop
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest.child import Child, NotStartedError, free_port
from loadtest.cores import Cores
from loadtest.files import allow_files
from loadtest.meter import Meter
from loadtest.options import end_as_by_ctrl_c
from loadtest.soak.caller import WrongError
from loadtest.soak.origin import Origin
from loadtest.soak.stages import MEGABYTE, STAGES, Size, Soaked
from loadtest.subjects import SUBJECTS, MissingError
from loadtest.subjects.subject import Subject
from loadtest.workload import WORKLOADS

START_WITHIN: Final = 20.0
STAGE_WITHIN: Final = 300.0
WARM_UP_BYTES: Final = 8 * MEGABYTE
SPARE_FILES: Final = 200
SETTLED_SECONDS: Final = 1.0
"""A proxy that takes no more memory for so long has started: it may load parts of itself after its first answer."""
SETTLES_WITHIN: Final = 10.0
STEADY_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one stage came to. Megabytes are 10⁶ bytes; wrong is empty if every byte was as it had to be."""

    stage: str
    title: str
    grown_mb: float
    bar_mb: float
    seconds: float
    wrong: str

    @property
    def is_met(self) -> bool:
        return not self.wrong and self.grown_mb <= self.bar_mb


@click.command(context_settings={"show_default": True})
@click.option("--megabytes", type=click.IntRange(1, 10_000), default=200, help="Of each body.")
@click.option("--requests", type=click.IntRange(100, 100_000_000), default=1_000_000, help="Small ones.")
@click.option("--connections", type=click.IntRange(1, 10_000), default=1_000, help="Idle ones.")
@click.option("--stages", help=f"Of {','.join(STAGES)}; otherwise all.")
@click.option("--subject", type=click.Choice(list(SUBJECTS)), default="sidecar", help="The proxy.")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output instead of the table.")
@click.option("--assert", "asserts", is_flag=True, help="Exit 1 if a bar is missed or an answer was wrong.")
@click.pass_context
def soak(
    ctx: click.Context,
    *,
    megabytes: int,
    requests: int,
    connections: int,
    stages: str | None,
    subject: str,
    as_json: bool,
    asserts: bool,
) -> None:
    """What a proxy keeps of what passes through it: its peak memory over large bodies, idle connections, many requests.

    A minute and a half as it is, after 8 MB each way to warm up. Exits 0 when it ran, 2 when it could not.
    """
    end_as_by_ctrl_c()
    chosen = list(STAGES) if stages is None else [name.strip() for name in stages.split(",")]
    if unknown := [name for name in chosen if name not in STAGES]:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(STAGES)}", param_hint="--stages")
    allow_files(2 * connections + SPARE_FILES)
    size = Size(megabytes * MEGABYTE, requests, connections)
    try:
        version = SUBJECTS[subject].version()
        outcomes = uvloop.run(run(SUBJECTS[subject], chosen, size))
    except (MissingError, NotStartedError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        ctx.exit(2)
    if as_json:
        facts = {"command": "loadtest soak", "subject": subject, "version": version, "size": asdict(size)}
        json.dump({**facts, "stages": [asdict(outcome) for outcome in outcomes]}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        Console(width=None if sys.stdout.isatty() else 110).print(_table(f"{subject} {version}", outcomes, size))
    if asserts and not all(outcome.is_met for outcome in outcomes):
        ctx.exit(1)


async def run(subject: Subject, chosen: Sequence[str], size: Size) -> list[Outcome]:
    """Start the proxy, take it through these stages, and end it. Raises NotStartedError."""
    cores = Cores.share(os.sched_getaffinity(0))
    loop = asyncio.get_running_loop()
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="loadtest-") as scratch:
        async with Origin() as origin:
            port = free_port()
            command = subject.command(Path(scratch), port, origin.port)
            with Child(subject.name, command, core=cores.proxy, log=Path(scratch) / "output.log") as child:
                await loop.run_in_executor(None, child.first_answer, port, WORKLOADS["get"].request(), START_WITHIN)
                meter = Meter(child.pid)
                await _settle(meter)
                soaked = Soaked(port, meter, origin, size)
                await _warm_up(soaked)
                for name in chosen:
                    outcomes.append(await _outcome(name, soaked))
                    click.echo(_line(outcomes[-1]), err=True)
    return outcomes


async def _settle(meter: Meter) -> None:
    """Return when its memory has been steady for SETTLED_SECONDS, after SETTLES_WITHIN seconds at the latest."""
    began = since = perf_counter()
    level = meter.memory().rss_bytes
    while perf_counter() - since < SETTLED_SECONDS and perf_counter() - began < SETTLES_WITHIN:
        await asyncio.sleep(0.1)
        now = meter.memory().rss_bytes
        if abs(now - level) > STEADY_BYTES:
            level, since = now, perf_counter()


async def _warm_up(soaked: Soaked) -> None:
    """One small transfer each way: allocators and buffers take what they take once."""
    small = Soaked(soaked.port, soaked.meter, soaked.origin, Size(WARM_UP_BYTES, 0, 0))
    for name in ("download", "download-chunked", "upload", "upload-chunked"):
        await STAGES[name].soak(small)


async def _outcome(name: str, soaked: Soaked) -> Outcome:
    stage = STAGES[name]
    began = perf_counter()
    soaked.count_from_here()
    wrong = ""
    try:
        async with asyncio.timeout(STAGE_WITHIN):
            await stage.soak(soaked)
    except WrongError as error:
        wrong = str(error)
    except TimeoutError:
        wrong = f"not at its end after {STAGE_WITHIN:.0f} s"
    except OSError as error:
        wrong = str(error) or type(error).__name__
    bar = stage.bar * max(1.0, soaked.size.connections / 1_000) if name == "idle" else stage.bar
    return Outcome(name, stage.title, soaked.grown, bar, perf_counter() - began, wrong)


def _line(outcome: Outcome) -> str:
    wrong = f", {outcome.wrong}" if outcome.wrong else ""
    return f"{outcome.title}: {outcome.grown_mb:+.1f} MB in {outcome.seconds:.1f} s{wrong}"


def _table(subject: str, outcomes: Sequence[Outcome], size: Size) -> Table:
    bodies = f"bodies of {size.body_bytes / MEGABYTE:.0f} MB"
    title = f"{subject}: {bodies}, {size.connections:,} connections, {size.requests:,} requests"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("what passes through")
    for heading in ("memory grows by MB", "at most", "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for outcome in outcomes:
        mark = Text("✓ met", "green") if outcome.is_met else Text(f"✗ {outcome.wrong or 'missed'}", "red")
        table.add_row(outcome.title, f"{outcome.grown_mb:.1f}", f"{outcome.bar_mb:g}", f"{outcome.seconds:.1f}", mark)
    return table
