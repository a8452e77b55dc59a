"""The command `bypass`: what a sample of the bypass detector costs, by the number of sockets, and what the loop feels.

Real sockets on loopback, half of them to a governed address; run it in a network namespace that has no others
(`unshare --net`, then `ip link set lo up`). The sample runs in a thread, as in a sidecar, while a loop ticks.
The delay is by how much the latest tick was late, beside that of as long a time without a sample.
"""

import asyncio
import json
import os
import socket
import statistics
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter, process_time

import click
import uvloop

from loadtest.files import allow_files
from sidecar.app import bypass_watch
from sidecar.app.bypass_watch import BypassWatch

TICK = 0.002  # seconds
SAMPLES = 20


@dataclass(frozen=True, slots=True)
class SampleCost:
    """Of one number of sockets; milliseconds, medians of the samples. `counted` is what the detector found."""

    sockets: int
    counted: int
    sample_ms: float
    cpu_ms: float
    loop_delay_ms: float
    loop_delay_without_ms: float


@click.command()
@click.option(
    "--sockets", type=click.IntRange(2, 18_000), multiple=True, default=(100, 1_000, 10_000), show_default=True
)
@click.option("--samples", type=click.IntRange(1, 1000), default=SAMPLES, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def bypass(*, sockets: tuple[int, ...], samples: int, as_json: bool) -> None:
    """Measure a sample of the bypass detector: its time, its processor time, and the delay of the event loop."""
    allow_files(max(sockets) + 200)
    costs = [_cost(number, samples) for number in sockets]
    if as_json:
        click.echo(json.dumps([asdict(cost) for cost in costs]))
        return
    click.echo("sockets  counted  sample ms  cpu ms  loop delay ms  without ms")
    for cost in costs:
        click.echo(
            f"{cost.sockets:7}  {cost.counted:7}  {cost.sample_ms:9.2f}  {cost.cpu_ms:6.2f}  "
            f"{cost.loop_delay_ms:13.2f}  {cost.loop_delay_without_ms:10.2f}"
        )


def _cost(sockets: int, samples: int) -> SampleCost:
    real = os.geteuid
    with _connections(sockets // 2) as address:
        bypass_watch.os.geteuid = lambda: real() + 1  # as if the sidecar were another user than these sockets'
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_measured(sockets, samples, address))
        finally:
            bypass_watch.os.geteuid = real


async def _measured(sockets: int, samples: int, address: tuple[str, int]) -> SampleCost:
    watch = BypassWatch(lambda: {"payments": {address}}, frozenset)
    await watch.sample()
    took, cpu, delays, quiet = [], [], [], []
    for _ in range(samples):
        began, used = perf_counter(), process_time()
        delays.append(await _latest_tick(watch.sample))
        took.append(perf_counter() - began)
        cpu.append(process_time() - used)
        quiet.append(await _latest_tick(lambda: asyncio.sleep(took[-1])))
    medians = (round(statistics.median(values) * 1e3, 3) for values in (took, cpu, delays, quiet))
    return SampleCost(sockets, watch.counts["payments"], *medians)


async def _latest_tick(work: Callable[[], Awaitable[None]]) -> float:
    """By how many seconds the latest tick was late while `work` went on."""
    task = asyncio.ensure_future(work())
    latest = 0.0
    while not task.done():
        due = perf_counter() + TICK
        await asyncio.sleep(TICK)
        latest = max(latest, perf_counter() - due)
    return latest


@contextmanager
def _connections(pairs: int) -> Iterator[tuple[str, int]]:
    """So many connections on loopback, and where they go."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        address: tuple[str, int] = listener.getsockname()
        try:
            for _ in range(pairs):
                held.append(socket.create_connection(address))
                held.append(listener.accept()[0])
            yield address
        finally:
            for each in held:
                each.close()
