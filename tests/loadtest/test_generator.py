"""The generator against the upstream and against servers that answer wrongly: what is counted is what happened.

Short runs over loopback; nothing here is about speed.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from loadtest.child import Child
from loadtest.generator import ClosedLoop, IdleCrowd, OpenLoop
from loadtest.load import Load
from loadtest.workload import WORKLOADS, Workload

GET = WORKLOADS["get"]


@pytest.fixture(scope="module")
def upstream_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    log: Path = tmp_path_factory.mktemp("upstream") / "output.log"
    with Child(
        "upstream", [sys.executable, "-m", "loadtest.upstream"], core=min(os.sched_getaffinity(0)), log=log
    ) as child:
        yield int(child.first_line(10.0))


def no_cpu() -> float:
    return 0.0


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[int]:
    """A server that gives one answer to every request and then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=lambda workload: workload.name)
def test_every_workload_is_answered_rightly_by_the_upstream(upstream_port: int, workload: Workload) -> None:
    load = uvloop.run(ClosedLoop(upstream_port, workload, 4).run(0.0, 0.2, no_cpu))

    assert load.errors == {}
    assert load.requests > 0
    assert 0 < load.p50 <= load.p99


def test_processor_time_is_read_at_both_edges_of_what_is_counted(upstream_port: int) -> None:
    readings = iter([10.0, 12.5])

    load = uvloop.run(ClosedLoop(upstream_port, GET, 1).run(0.0, 0.1, lambda: next(readings)))

    assert load.cpu_seconds == 2.5
    assert load.cpu_per_request == 2.5 / load.requests


def test_a_fixed_rate_is_kept_whatever_the_server_could_do(upstream_port: int) -> None:
    load, lateness = uvloop.run(OpenLoop(upstream_port, GET, 4, 500.0).run(0.1, 0.4, no_cpu))

    # Not a speed: what is due is settled by the schedule, give or take what falls on an edge of the window.
    assert load.errors == {}
    assert load.rate == pytest.approx(500.0, rel=0.2)
    assert lateness >= 0


def test_idle_connections_are_all_open_when_the_reading_is_taken(upstream_port: int) -> None:
    async def hold() -> tuple[int, dict[str, int]]:
        crowd = IdleCrowd(upstream_port, GET, 20)
        open_ones = await crowd.hold(lambda: sum(connection.is_open for connection in crowd.connections))
        return open_ones, dict(crowd.errors)

    assert uvloop.run(hold()) == (20, {})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "content-length 3"),
        (GET.response()[:-1], "closed before the answer"),
    ],
)
def test_wrong_answers_are_counted_and_are_no_requests(answer: bytes, reason: str) -> None:
    async def measure() -> Load:
        async with server(answer) as port:
            return await ClosedLoop(port, GET, 2).run(0.0, 0.1, no_cpu)

    load = uvloop.run(measure())

    assert load.requests == 0
    assert set(load.errors) == {reason}
    assert load.errors[reason] >= 2


def test_a_server_that_closes_after_each_answer_as_it_announced_gives_no_error() -> None:
    closing = GET.response().replace(b"\r\n", b"\r\nConnection: close\r\n", 1)

    async def measure() -> Load:
        async with server(closing) as port:
            return await ClosedLoop(port, GET, 2).run(0.0, 0.2, no_cpu)

    load = uvloop.run(measure())

    assert load.errors == {}
    assert load.requests > 2
