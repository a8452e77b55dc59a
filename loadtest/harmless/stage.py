"""One situation: for each subject a dependency and its proxies, the same callers, and what both ends saw."""

import asyncio
import gc
import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import uvloop

from loadtest.child import Child, NotStartedError, free_port
from loadtest.harmless.caller import Callers, Choose, at_random, at_those_there
from loadtest.harmless.figures import Figures, figures
from loadtest.harmless.situation import Situation
from loadtest.harmless.subjects import Subject
from loadtest.harmless.traffic import Traffic
from loadtest.storm.client import HOST
from loadtest.storm.stage import FailedError, Tell

START_WITHIN = 20.0  # seconds
LEAD = 0.3  # seconds between saying when the run begins, and its beginning
PATIENCE = 60.0  # seconds that the last answers may take
PROBE = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Run:
    """What a subject did in a situation. `late`: seconds by which the worst request left too late."""

    situation: Situation
    subject: str
    seed: int
    figures: tuple[Figures, ...]
    requests: int
    attempts: int
    most_attempts: int
    """Of one request."""
    late: float

    @property
    def amplification(self) -> float:
        """Attempts that arrived at the dependency per request that was made."""
        return self.attempts / self.requests if self.requests else 1.0


@dataclass(frozen=True, slots=True)
class _Set:
    """One subject, ready: where its dependency is controlled, and where its callers go in."""

    subject: Subject
    control: int
    choose: Choose


def run(situation: Situation, subjects: Sequence[Subject], seed: int, tell: Tell) -> list[Run]:
    """Play the situation through all subjects, together or in turn as it says. Raises FailedError."""
    together = [[subject] for subject in subjects] if situation.apart else [list(subjects)]
    return [done for group in together for done in _tried(situation, group, seed, tell)]


def _tried(situation: Situation, subjects: Sequence[Subject], seed: int, tell: Tell) -> list[Run]:
    try:
        return _played(situation, subjects, seed, tell)
    except NotStartedError:
        pass  # a port that was free when it was looked for may have been taken since: once more, with others
    try:
        return _played(situation, subjects, seed, tell)
    except NotStartedError as error:
        raise FailedError(f"{situation.name}: {error}") from error


def _played(situation: Situation, subjects: Sequence[Subject], seed: int, tell: Tell) -> list[Run]:
    with TemporaryDirectory(prefix="harmless-") as scratch, ExitStack() as children:
        try:
            sets = _started(children, Path(scratch), situation, subjects)
            traffic = _bounded(situation, sets, seed, tell)
            return [_run(situation, each, seed, one) for each, one in zip(sets, traffic, strict=True)]
        except (OSError, ValueError) as error:
            raise FailedError(f"{situation.name}: {error or type(error).__name__}") from error


def _started(children: ExitStack, folder: Path, situation: Situation, subjects: Sequence[Subject]) -> list[_Set]:
    dependencies = []
    for subject in subjects:
        argv = [sys.executable, "-m", "loadtest.harmless.dependency", situation.name]
        log = folder / f"{subject.name}-dependency.log"
        dependencies.append(children.enter_context(Child("dependency", argv, core=None, log=log)))
    sets = []
    for subject, dependency in zip(subjects, dependencies, strict=True):
        said = json.loads(dependency.first_line(START_WITHIN))
        proxies = _proxies(children, folder, situation, subject, said["endpoints"])
        choose = at_random(proxies) if proxies else at_those_there(said["endpoints"], situation)
        sets.append(_Set(subject, said["control"], choose))
    return sets


def _proxies(
    children: ExitStack, folder: Path, situation: Situation, subject: Subject, upstream: Sequence[int]
) -> list[int]:
    """Start the subject's proxies; the ports at which they listen, none where callers call directly."""
    started: list[tuple[Child, int]] = []
    for number in range(situation.proxies):
        directory = folder / f"{subject.name}-{number}"
        directory.mkdir()
        port = free_port()
        argv = subject.command(directory, upstream, port)
        if not argv:
            return []
        child = Child(f"{subject.name} {number}", argv, core=None, log=directory / "output.log")
        started.append((children.enter_context(child), port))
    for child, port in started:
        child.first_answer(port, PROBE, START_WITHIN)
    return [port for _, port in started]


def _bounded(situation: Situation, sets: Sequence[_Set], seed: int, tell: Tell) -> list[Traffic]:
    callers = [Callers(situation, each.choose) for each in sets]
    traffic = [Traffic(situation, one, seed) for one in callers]

    async def play() -> None:
        zero = monotonic() + LEAD
        for each in sets:
            await asyncio.to_thread(_asked, each.control, f"/begin?zero={zero}")
        telling = asyncio.create_task(_tell(tell, zero))
        try:
            async with asyncio.timeout(LEAD + situation.seconds + PATIENCE + START_WITHIN):
                await asyncio.gather(*(one.run(zero) for one in traffic))
        finally:
            telling.cancel()
            for one in callers:
                one.close()

    gc.collect()
    gc.disable()
    try:
        uvloop.run(play())
    finally:
        gc.enable()
    return traffic


def _run(situation: Situation, played: _Set, seed: int, traffic: Traffic) -> Run:
    arrived = Counter(json.loads(_asked(played.control, "/report")))
    return Run(
        situation=situation,
        subject=played.subject.name,
        seed=seed,
        figures=figures(situation, traffic.requests),
        requests=len(traffic.requests),
        attempts=arrived.total(),
        most_attempts=max(arrived.values(), default=0),
        late=traffic.latest,
    )


async def _tell(tell: Tell, zero: float) -> None:
    while True:
        await asyncio.sleep(1.0)
        tell(monotonic() - zero)


def _asked(port: int, target: str) -> bytes:
    connection = HTTPConnection(HOST, port, timeout=10.0)
    try:
        connection.request("GET", target)
        return connection.getresponse().read()
    finally:
        connection.close()
