"""The order of a comparison: every subject in turn, and again, so that a noisy minute hits all alike."""

import asyncio
import gc
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from loadtest import wrk
from loadtest.child import Child, free_port
from loadtest.cores import Cores, pinned
from loadtest.figures import MEGABYTE, Results, Round
from loadtest.generator import SETTLE, ClosedLoop, IdleCrowd, OpenLoop
from loadtest.load import Load
from loadtest.meter import Meter
from loadtest.subjects import BASELINE, Subject
from loadtest.workload import WORKLOADS, Workload

START_WITHIN = 20.0  # seconds
SLACK = 30.0  # seconds a measurement may take longer than asked before it is given up
SMALL = WORKLOADS["get"]

T = TypeVar("T")


class BrokenOffError(Exception):
    """A measurement could not be made. The message is one line and names the subject."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run. `warm_up` and `seconds` are of each measurement; `idle_connections` may be 0 for none."""

    subjects: tuple[Subject, ...]
    workloads: tuple[Workload, ...]
    rounds: int
    warm_up: float
    seconds: float
    connections: int
    idle_connections: int
    uses_wrk: bool
    cores: Cores

    def generator(self, workload: Workload) -> str:
        return "wrk" if self.uses_wrk and workload.is_small else "own"


def run(plan: Plan, step: Callable[[str, int, Round | None], None]) -> Results:
    """Measure all. `step(subject, round, done)` is called as each begins (done is None) and ends.

    Raises BrokenOffError, or child.NotStartedError. Whatever happens, no process and no file of it remains.
    """
    rounds: dict[str, list[Round]] = {subject.name: [] for subject in plan.subjects}
    with (
        pinned(plan.cores.generator),
        tempfile.TemporaryDirectory(prefix="loadtest-") as scratch,
        Child(
            "upstream",
            [sys.executable, "-m", "loadtest.upstream"],
            core=plan.cores.upstream,
            log=Path(scratch) / "upstream.log",
        ) as upstream,
    ):
        upstream_port = int(upstream.first_line(START_WITHIN))
        for number in range(plan.rounds):
            for subject in plan.subjects:
                step(subject.name, number, None)
                baseline = rounds.get(BASELINE, [])
                half = baseline[number].figures.get("get.rps", 0.0) / 2 if len(baseline) > number else 0.0
                directory = Path(scratch) / f"{subject.name}-{number}"
                directory.mkdir()
                done = _Measurement(plan, subject, upstream_port, directory).take(half)
                rounds[subject.name].append(done)
                step(subject.name, number, done)
    return Results(BASELINE, rounds)


class _Measurement:
    """One subject in one round: started, measured at rest, under load and with idle connections, and ended."""

    def __init__(self, plan: Plan, subject: Subject, upstream_port: int, directory: Path) -> None:
        self._plan = plan
        self._subject = subject
        self._upstream_port = upstream_port
        self._directory = directory
        self._round = Round()

    def take(self, half_of_baseline: float) -> Round:
        """`half_of_baseline` is in requests per second, 0 if unknown."""
        try:
            self._under_load(half_of_baseline)
            if self._plan.idle_connections:
                self._idle()
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise BrokenOffError(f"{self._subject.name}: {error or type(error).__name__}") from error
        return self._round

    def _under_load(self, half_of_baseline: float) -> None:
        figures = self._round.figures
        port = free_port()
        with self._started(port) as child:
            figures["process.start_s"] = child.first_answer(port, SMALL.request(), START_WITHIN)
            meter = Meter(child.pid)
            _run(asyncio.sleep(SETTLE), SETTLE)
            rest = meter.memory()
            figures["process.rest_rss_mb"] = rest.rss_bytes / MEGABYTE
            figures["process.rest_pss_mb"] = rest.pss_bytes / MEGABYTE
            for workload in self._plan.workloads:
                self._round.add_load(workload.name, self._closed(port, workload, meter))
            if own := figures.get("get.rps", 0.0):
                self._open("half", port, own / 2, meter)
                if self._subject.name == BASELINE:
                    # Its own half and the baseline's are one measurement.
                    figures.update(
                        {f"level.{name[5:]}": value for name, value in figures.items() if name.startswith("half.")}
                    )
                elif half_of_baseline:
                    self._open("level", port, half_of_baseline, meter)
            loaded = meter.memory()
            figures["process.loaded_rss_mb"] = loaded.rss_bytes / MEGABYTE
            figures["process.loaded_pss_mb"] = loaded.pss_bytes / MEGABYTE

    def _closed(self, port: int, workload: Workload, meter: Meter) -> Load:
        plan = self._plan
        if plan.generator(workload) == "own":
            loop = ClosedLoop(port, workload, plan.connections)
            return _run(loop.run(plan.warm_up, plan.seconds, meter.cpu_seconds), plan.warm_up + plan.seconds)
        # The own generator warms up for wrk too: it has seen and checked each answer before wrk's are counted.
        warm_up = _run(
            ClosedLoop(port, workload, plan.connections).run(0.0, plan.warm_up, meter.cpu_seconds), plan.warm_up
        )
        self._round.add_errors(workload.name, warm_up.errors)
        return wrk.run(
            port,
            workload,
            connections=plan.connections,
            seconds=plan.seconds,
            cpu_seconds=meter.cpu_seconds,
            directory=self._directory,
        )

    def _open(self, part: str, port: int, rate: float, meter: Meter) -> None:
        plan = self._plan
        loop = OpenLoop(port, SMALL, plan.connections, rate)
        load, lateness = _run(loop.run(plan.warm_up, plan.seconds, meter.cpu_seconds), plan.warm_up + plan.seconds)
        self._round.add_load(part, load)
        self._round.figures[f"{part}.late_ms"] = lateness * 1e3

    def _idle(self) -> None:
        port = free_port()
        count = self._plan.idle_connections
        with self._started(port) as child:
            child.first_answer(port, SMALL.request(), START_WITHIN)
            meter = Meter(child.pid)
            warm_up = _run(
                ClosedLoop(port, SMALL, 32).run(0.0, self._plan.warm_up, meter.cpu_seconds), self._plan.warm_up
            )
            before = meter.memory().rss_bytes
            errors, during = _run(_idle_reading(port, count, meter), SLACK)
        grown = (during - before) / MEGABYTE
        self._round.figures["process.idle_rss_mb"] = grown
        self._round.figures["process.idle_per_1000_mb"] = grown * 1000 / count
        self._round.add_errors("process", warm_up.errors)
        self._round.add_errors("process", errors)

    def _started(self, port: int) -> Child:
        return Child(
            self._subject.name,
            self._subject.command(self._directory, port, self._upstream_port),
            core=self._plan.cores.proxy,
            log=self._directory / "output.log",
        )


async def _idle_reading(port: int, count: int, meter: Meter) -> tuple[dict[str, int], int]:
    crowd = IdleCrowd(port, SMALL, count)
    memory = await crowd.hold(meter.memory)
    return dict(crowd.errors), memory.rss_bytes


def _run(measurement: Coroutine[Any, Any, T], seconds: float) -> T:
    """On a loop of its own, without the garbage collector's pauses, and given up after `seconds` + SLACK."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds + SLACK):
            return await measurement

    gc.collect()
    gc.disable()
    try:
        return uvloop.run(bounded())
    finally:
        gc.enable()
