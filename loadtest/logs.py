"""The command `logs`: what a storm's log lines cost.

Two sidecars take the same storm in turn, many short turns each: one writes its log as it does by default, the other is
told to write errors only. Every exchange of the storm is worth a line, and nearly all of those are dropped and counted.
The figure is the quotient of the processor time of both, of the same turns of the same run.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Final, cast

import click
import uvloop

from loadtest.child import Child, NotStartedError, free_port
from loadtest.cores import Cores, pinned
from loadtest.meter import Meter, resolution
from loadtest.options import CannotRunError

HOST: Final = "127.0.0.1"
BAR: Final = 1.05
TICK: Final = 0.005  # seconds
CONNECTIONS: Final = 64
LEVELS: Final = {"logged": "info", "unlogged": "error"}
START_WITHIN: Final = 20.0
REQUEST: Final = b"GET /charges/7?card=4242 HTTP/1.1\r\nHost: payments\r\nAccept: application/json\r\n\r\n"
WELL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FAILURE: Final = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno"


@dataclass(frozen=True, slots=True)
class Cost:
    """What both used. `ratio` is the median of the turns' ratios; microseconds are of one failure, medians too."""

    failures: int
    rate: float
    logged_us: float
    unlogged_us: float
    ratio: float
    lines: int
    clock: str


@click.command(context_settings={"show_default": True})
@click.option("--rate", type=click.IntRange(100, 20_000), default=2000, help="Failures a second.")
@click.option("--turns", type=click.IntRange(2, 200), default=20, help="Of each sidecar.")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=1.0, help="Of each turn.")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
@click.option("--assert", "asserts", is_flag=True, help=f"Exit 1 if logging costs over {BAR - 1:.0%}.")
@click.pass_context
def logs(ctx: click.Context, *, rate: int, turns: int, seconds: float, as_json: bool, asserts: bool) -> None:
    """What the log lines of a storm of failures cost, against the same storm without them."""
    try:
        cost = uvloop.run(measured(rate, turns, seconds))
    except NotStartedError as error:
        raise CannotRunError(str(error)) from error
    if as_json:
        click.echo(json.dumps(asdict(cost), indent=2))
    else:
        click.echo(
            f"{cost.rate:,.0f} failures/s, {cost.failures:,} of each: {cost.logged_us:.1f} µs of cpu each with the "
            f"log, {cost.unlogged_us:.1f} µs without, ratio {cost.ratio:.3f} (bar {BAR:.2f}); {cost.lines:,} lines "
            f"written; cpu time in {cost.clock}"
        )
    if asserts and cost.ratio > BAR:
        ctx.exit(1)


async def measured(rate: int, turns: int, seconds: float) -> Cost:
    """Take it. Raises NotStartedError."""
    cores = Cores.share(os.sched_getaffinity(0))
    answers = [WELL]
    with (
        pinned(cores.generator),
        tempfile.TemporaryDirectory(prefix="loadtest-") as scratch,
        ExitStack() as started,
    ):
        upstream = await _upstream(answers)
        started.callback(upstream.close)
        upstream_port = upstream.sockets[0].getsockname()[1]
        meters: dict[str, Meter] = {}
        ports: dict[str, int] = {}
        written: dict[str, Path] = {}
        for name, level in LEVELS.items():
            folder = Path(scratch) / name
            folder.mkdir()
            ports[name], written[name] = free_port(), folder / "log"
            command = _command(folder, ports[name], upstream_port, level)
            child = started.enter_context(Child(name, command, core=cores.proxy, log=written[name]))
            await asyncio.to_thread(child.first_answer, ports[name], REQUEST, START_WITHIN)
            meters[name] = Meter(child.pid)
        answers[0] = FAILURE
        used: dict[str, list[float]] = {name: [] for name in LEVELS}
        failures = dict.fromkeys(LEVELS, 0)
        rates = []
        async with _crowd(ports["logged"]) as first, _crowd(ports["unlogged"]) as second:
            crowds = {"logged": first, "unlogged": second}
            for crowd in crowds.values():
                await _storm(crowd, rate, seconds / 2)  # warm-up
            for turn in range(turns):
                # Who goes first alternates: a core that slows down must not always meet the same one.
                for name in sorted(LEVELS, reverse=bool(turn % 2)):
                    before, began = meters[name].cpu_seconds(), perf_counter()
                    answered = await _storm(crowds[name], rate, seconds)
                    rates.append(answered / (perf_counter() - began))
                    used[name].append((meters[name].cpu_seconds() - before) / answered)
                    failures[name] += answered
        lines = written["logged"].read_bytes().count(b"\n")
    return Cost(
        failures=failures["logged"],
        rate=statistics.median(rates),
        logged_us=statistics.median(used["logged"]) * 1e6,
        unlogged_us=statistics.median(used["unlogged"]) * 1e6,
        ratio=statistics.median(map(float.__truediv__, used["logged"], used["unlogged"])),
        lines=lines,
        clock=resolution(),
    )


def _command(folder: Path, port: int, upstream_port: int, level: str) -> list[str]:
    policy = folder / "policy.yaml"
    policy.write_text(
        json.dumps(
            {
                "version": 1,
                "owner": "loadtest",
                # No 503, by which breakers open: it would keep the storm away from what is measured.
                "defaults": {"retry": {"statuses": [502]}},
            }
        )
    )
    config = folder / "sidecar.yaml"
    config.write_text(
        json.dumps(
            {
                "service": "loadtest",
                "admin": {"listen": f"{HOST}:{free_port()}"},
                "policy": {"file": str(policy)},
                "egress": {"listen": [f"{HOST}:{free_port()}"]},
                "destinations": {
                    "payments": {"endpoints": [f"http://{HOST}:{upstream_port}"], "listen": f"{HOST}:{port}"}
                },
            }
        )
    )
    run = ["run", "--config", str(config), "--log-format", "json", "--log-level", level]
    return [sys.executable, "-m", "sidecar", *run]


class _Failing(asyncio.Protocol):
    """An upstream's connection: each request, which comes in one piece, gets the answer of the hour."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answers[0] * data.count(b"\r\n\r\n"))


async def _upstream(answers: list[bytes]) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(lambda: _Failing(answers), HOST, 0)


class _Asker(asyncio.Protocol):
    """A client's connection; `on_answer` is called with it when its answer is whole."""

    def __init__(self, on_answer: Callable[["_Asker"], None]) -> None:
        self._on_answer = on_answer
        self._came = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        self._came = b""
        self._transport.write(REQUEST)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._came += data
        if self._came.endswith(b"\r\n\r\nno"):
            self._on_answer(self)


class _Crowd:
    """Connections to one proxy, kept alive; `idle` are those that await nothing."""

    def __init__(self) -> None:
        self.idle: list[_Asker] = []
        self.answered = 0

    def on_answer(self, asker: _Asker) -> None:
        self.answered += 1
        self.idle.append(asker)


@asynccontextmanager
async def _crowd(port: int) -> AsyncIterator[_Crowd]:
    crowd = _Crowd()
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        _, asker = await loop.create_connection(lambda: _Asker(crowd.on_answer), HOST, port)
        crowd.idle.append(asker)
    yield crowd
    for asker in crowd.idle:
        asker.close()


async def _storm(crowd: _Crowd, rate: int, seconds: float) -> int:
    """Ask `rate` times a second, as far as connections are free; the number of answers."""
    before, sent, began = crowd.answered, 0, perf_counter()
    while (passed := perf_counter() - began) < seconds:
        while crowd.idle and sent < rate * passed:
            crowd.idle.pop().ask()
            sent += 1
        await asyncio.sleep(TICK)
    while crowd.answered - before < sent and perf_counter() - began < seconds + 5:  # noqa: ASYNC110
        await asyncio.sleep(TICK)
    return crowd.answered - before
