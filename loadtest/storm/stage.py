"""One run: a dependency, the proxies before it, the clients, and what both ends saw."""

import asyncio
import gc
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import uvloop

from loadtest.child import Child, NotStartedError, free_port
from loadtest.storm.client import HOST, Client, Doors, Naive, Once
from loadtest.storm.figures import Figures, figures
from loadtest.storm.scenario import Scenario
from loadtest.storm.subjects import Subject
from loadtest.storm.traffic import Traffic, requests
from loadtest.storm.witness import Attempt, Request

START_WITHIN = 20.0  # seconds
LEAD = 0.3  # seconds between saying when the run begins, and its beginning
SETTLE = 0.2  # seconds for the last answers to arrive
PROBE = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

Tell = Callable[[float], None]
"""Called every second with the seconds since the beginning."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a subject did in a scenario.

    `late`: seconds by which the worst request left too late. `cpu`: processor seconds of those who called, a request;
    None where they were not measured.
    """

    scenario: Scenario
    subject: str
    seed: int
    figures: Figures
    late: float
    cpu: float | None = None


class FailedError(Exception):
    """The run could not be made. The message is one line."""


def run(scenario: Scenario, subject: Subject, seed: int, factor: float, tell: Tell) -> Run:
    """Play the scenario, already scaled by `factor`; takes its seconds, the deadline and the start of the proxies."""
    try:
        return _played(scenario, subject, seed, factor, tell)
    except NotStartedError:
        pass  # a port that was free when it was looked for may have been taken since: once more, with others
    try:
        return _played(scenario, subject, seed, factor, tell)
    except NotStartedError as error:
        raise FailedError(f"{scenario.name}, {subject.name}: {error}") from error


def asked(port: int, target: str) -> bytes:
    """The answer of a control. Raises OSError."""
    connection = HTTPConnection(HOST, port, timeout=10.0)
    try:
        connection.request("GET", target)
        return connection.getresponse().read()
    finally:
        connection.close()


def _played(scenario: Scenario, subject: Subject, seed: int, factor: float, tell: Tell) -> Run:
    with TemporaryDirectory(prefix="storm-") as scratch, ExitStack() as children:
        folder = Path(scratch)
        try:
            dependency = children.enter_context(
                Child(
                    "dependency",
                    [sys.executable, "-m", "loadtest.storm.dependency", scenario.name, str(seed), str(factor)],
                    core=None,
                    log=folder / "dependency.log",
                )
            )
            ports = json.loads(dependency.first_line(START_WITHIN))
            doors = _doors(children, folder, scenario, subject, ports["destinations"])
            planned, late = _bounded(scenario, subject, seed, Doors(doors, seed), ports["control"], tell)
            attempts = [Attempt(*fields) for fields in json.loads(asked(ports["control"], "/report"))]
        except (OSError, ValueError) as error:
            raise FailedError(f"{scenario.name}, {subject.name}: {error or type(error).__name__}") from error
    return Run(scenario, subject.name, seed, figures(scenario, planned, attempts), late)


def _doors(
    children: ExitStack, folder: Path, scenario: Scenario, subject: Subject, upstream: Sequence[Sequence[int]]
) -> Sequence[Sequence[int]]:
    """The ports of each destination at which clients call: its own, or those of the proxies, which run then."""
    if not subject.has_proxies:
        return upstream
    started = []
    for number in range(scenario.proxies):
        directory = folder / f"proxy-{number}"
        directory.mkdir()
        listen = [free_port() for _ in upstream]
        argv = subject.command(directory, scenario, upstream, listen)
        child = Child(f"{subject.name} {number}", argv, core=None, log=directory / "output.log")
        started.append((children.enter_context(child), listen))
    for child, listen in started:
        for port in listen:
            child.first_answer(port, PROBE, START_WITHIN)
    return list(zip(*(listen for _, listen in started), strict=True))


def _bounded(
    scenario: Scenario, subject: Subject, seed: int, doors: Doors, control: int, tell: Tell
) -> tuple[list[Request], float]:
    client: Client = Naive(doors, scenario.per_try) if subject.retries_in_the_client else Once(doors)
    traffic = Traffic(client, scenario.deadline)
    planned = requests(scenario, seed)

    async def play() -> None:
        zero = monotonic() + LEAD
        await asyncio.to_thread(asked, control, f"/begin?zero={zero}")
        telling = asyncio.create_task(_tell(tell, zero))
        try:
            async with asyncio.timeout(LEAD + scenario.seconds + scenario.deadline + START_WITHIN):
                await traffic.send(planned, zero)
            await asyncio.sleep(SETTLE)
        finally:
            telling.cancel()
            doors.close()

    gc.collect()
    gc.disable()
    try:
        uvloop.run(play())
    finally:
        gc.enable()
    return planned, traffic.latest


async def _tell(tell: Tell, zero: float) -> None:
    while True:
        await asyncio.sleep(1.0)
        tell(monotonic() - zero)
