"""A proxy that runs, and is measured."""

import asyncio
import gc
import subprocess
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from loadtest import wrk
from loadtest.child import Child, free_port
from loadtest.figures import MEGABYTE, Round
from loadtest.generator import SETTLE, ClosedLoop, IdleCrowd, OpenLoop
from loadtest.load import Load
from loadtest.meter import Memory, Meter
from loadtest.plan import SMALL, Plan
from loadtest.subjects import Subject
from loadtest.workload import Workload

START_WITHIN = 20.0  # seconds
SLACK = 30.0  # seconds a measurement may take longer than asked before it is given up

T = TypeVar("T")


class BrokenOffError(Exception):
    """A measurement could not be made. The message is one line and names the subject."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A measurement; all its wrong answers, those of its warm-up too; the generator's lateness (s) at a fixed rate."""

    load: Load
    errors: Counter[str]
    lateness: float | None = None


class Contender:
    """Starts the proxy, and ends it with its `with`.

    Measuring raises BrokenOffError, starting child.NotStartedError.
    """

    def __init__(self, plan: Plan, subject: Subject, upstream_port: int, directory: Path) -> None:
        directory.mkdir()
        self.name = subject.name
        self.round = Round()
        self._plan = plan
        self._directory = directory
        self._port = free_port()
        self._child = Child(
            subject.name,
            subject.command(directory, self._port, upstream_port),
            core=plan.cores.proxy,
            log=directory / "output.log",
        )

    def __enter__(self) -> Self:
        try:
            self.round.figures["process.start_s"] = self._child.first_answer(self._port, SMALL.request(), START_WITHIN)
            self._meter = Meter(self._child.pid)
        except BaseException:
            self._child.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._child.stop()

    def scheduled(self) -> tuple[float, float]:
        """Seconds it had the core, and seconds it waited for it."""
        return self._meter.cpu_seconds(), self._meter.waited_seconds()

    def rest(self) -> Memory:
        """What it takes when it has come to rest."""
        _run(asyncio.sleep(SETTLE), SETTLE)
        return self._meter.memory()

    def closed(self, workload: Workload) -> Taken:
        """As much as it can do."""
        plan = self._plan
        loop = ClosedLoop(self._port, workload, plan.connections)
        if plan.generator(workload) == "own":
            load = self._bounded(loop.run(plan.warm_up, plan.seconds, self._meter.cpu_seconds))
            return Taken(load, Counter(load.errors))
        # The own generator warms up for wrk too: it has seen and checked each answer before wrk's are counted.
        warm_up = self._bounded(loop.run(0.0, plan.warm_up, self._meter.cpu_seconds))
        try:
            load = wrk.run(
                self._port,
                workload,
                connections=plan.connections,
                seconds=plan.seconds,
                cpu_seconds=self._meter.cpu_seconds,
                directory=self._directory,
            )
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise BrokenOffError(f"{self.name}: {error}") from error
        return Taken(load, Counter(warm_up.errors) + Counter(load.errors))

    def open(self, rate: float) -> Taken:
        """At a fixed rate, in requests per second."""
        loop = OpenLoop(self._port, SMALL, self._plan.connections, rate)
        load, lateness = self._bounded(loop.run(self._plan.warm_up, self._plan.seconds, self._meter.cpu_seconds))
        return Taken(load, Counter(load.errors), lateness)

    def idle(self) -> None:
        """What memory connections take that were used once. For a process that has had no work yet."""
        count = self._plan.idle_connections
        warm_up = ClosedLoop(self._port, SMALL, self._plan.connections)
        load = self._bounded(warm_up.run(0.0, self._plan.warm_up, self._meter.cpu_seconds))
        before = self._meter.memory()
        errors, during = self._bounded(_held(self._port, count, self._meter))
        grown = (during.rss_bytes - before.rss_bytes) / MEGABYTE
        self.round.figures["process.idle_rss_mb"] = grown
        self.round.figures["process.idle_per_1000_mb"] = grown * 1000 / count
        self.round.add_errors("process", load.errors)
        self.round.add_errors("process", errors)

    def _bounded(self, measurement: Coroutine[Any, Any, T]) -> T:
        try:
            return _run(measurement, self._plan.warm_up + self._plan.seconds)
        except OSError as error:
            raise BrokenOffError(f"{self.name}: {error or 'no end in time'}: {self._child.last_words()}") from error


async def _held(port: int, count: int, meter: Meter) -> tuple[Counter[str], Memory]:
    crowd = IdleCrowd(port, SMALL, count)
    memory = await crowd.hold(meter.memory)
    return crowd.errors, memory


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
