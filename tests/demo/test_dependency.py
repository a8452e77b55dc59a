import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from sidecar.demo.counts import Arrivals
from sidecar.demo.dependency import OK, OVERFLOW, UNAVAILABLE, Connection, Dependency
from sidecar.demo.script import FULL, ScriptPhase

SMALL = replace(FULL, workers=1, backlog=1, service_seconds=1.0)


class Caller:
    """Stands where a connection stands."""

    def __init__(self) -> None:
        self.gone = False
        self.answers: list[bytes] = []

    def answer(self, data: bytes) -> None:
        self.answers.append(data)


class Stage:
    """A dependency on a clock that only we move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.dependency = Dependency(SMALL, seed=1, clock=lambda: self.now)

    def ask(self, request_id: bytes = b"") -> Caller:
        caller = Caller()
        self.dependency.request(caller, request_id)
        return caller

    def let_work(self, seconds: float) -> None:
        self.now += seconds
        self.dependency.enter(self.dependency.phase)


async def test_work_takes_its_time_and_is_then_answered() -> None:
    stage = Stage()
    caller = stage.ask()

    at_once = list(caller.answers)
    stage.let_work(2.0)

    assert at_once == []
    assert caller.answers == [OK]
    assert stage.dependency.totals == Arrivals(arrived=1, served=1)


async def test_work_for_a_caller_who_has_gone_is_done_all_the_same_and_counted_as_wasted() -> None:
    stage = Stage()
    gone, waiting = stage.ask(), stage.ask()

    gone.gone = True
    stage.let_work(1.5)
    served_by_then = stage.dependency.totals.served
    stage.let_work(1.5)

    assert gone.answers == []
    assert served_by_then == 0
    assert waiting.answers == [OK]
    assert stage.dependency.totals == Arrivals(arrived=2, served=1, wasted=1)


async def test_a_full_queue_answers_503_at_once() -> None:
    stage = Stage()
    stage.ask()
    stage.ask()

    caller = stage.ask()

    assert caller.answers == [OVERFLOW]
    assert stage.dependency.totals.overflowed == 1


async def test_a_failing_dependency_answers_503_at_once_and_does_no_work() -> None:
    stage = Stage()
    stage.dependency.enter(ScriptPhase.FAILING)

    caller = stage.ask()

    assert caller.answers == [UNAVAILABLE]
    assert stage.dependency.totals == Arrivals(arrived=1, failed=1)
    assert stage.dependency.workforce.running == 0


async def test_a_hanging_dependency_answers_when_it_is_healthy_again() -> None:
    stage = Stage()
    stage.dependency.enter(ScriptPhase.HANGING)
    caller = stage.ask()

    stage.let_work(60.0)
    while_hanging = list(caller.answers)
    stage.dependency.enter(ScriptPhase.HEALTHY)
    stage.let_work(2.0)

    assert while_hanging == []
    assert caller.answers == [OK]


async def test_a_request_that_has_been_here_before_is_counted_as_repeated() -> None:
    stage = Stage()
    stage.dependency.enter(ScriptPhase.FAILING)

    for request_id in (b"a", b"b", b"a", b"a", b"", b""):
        stage.ask(request_id)

    assert stage.dependency.totals == Arrivals(arrived=6, repeated=2, failed=6)


async def test_what_is_told_by_slot_is_what_is_counted_in_all() -> None:
    stage = Stage()
    stage.dependency.start()
    callers = [stage.ask(request_id) for request_id in (b"a", b"b", b"a")]

    callers[0].gone = True
    stage.let_work(4.0)
    stage.dependency.enter(ScriptPhase.FAILING)
    stage.ask(b"c")

    assert stage.dependency.totals == Arrivals(arrived=4, repeated=1, served=1, wasted=1, failed=1, overflowed=1)
    assert stage.dependency.slots.changes() == {"0": [3, 1, 0, 0, 0, 1], "16": [1, 0, 1, 1, 1, 0]}


async def test_the_same_seed_gives_the_same_work() -> None:
    first, second = Stage(), Stage()

    for stage in (first, second):
        stage.ask()

    assert first.dependency.workforce.next_finish() == second.dependency.workforce.next_finish()


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, Dependency]]:
    loop = asyncio.get_running_loop()
    dependency = Dependency(replace(FULL, service_seconds=0.001), seed=1, clock=loop.time)
    server = await loop.create_server(lambda: Connection(dependency), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], dependency
    finally:
        server.close()


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(5.0):
            head = await reader.readuntil(b"\r\n\r\n")
            return head + await reader.readuntil(b"\n")
    finally:
        writer.close()


async def test_a_request_over_the_wire_is_answered_when_its_work_is_done() -> None:
    async with listening() as (port, dependency):
        answer = await ask(port, b"GET /balance HTTP/1.1\r\nhost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert dependency.totals.served == 1


async def test_two_requests_with_one_id_are_one_and_its_repetition() -> None:
    one = b"GET /balance HTTP/1.1\r\nX-Request-Id: a\r\n\r\n"
    async with listening() as (port, dependency):
        for request in (one, one, b"GET /balance HTTP/1.1\r\nhost: x\r\n\r\n"):
            await ask(port, request)

    assert (dependency.totals.arrived, dependency.totals.repeated) == (3, 1)


async def test_its_state_is_not_counted_as_a_request() -> None:
    async with listening() as (port, dependency):
        answer = await ask(port, b"GET /-/state HTTP/1.1\r\nhost: x\r\n\r\n")

    state = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert state["phase"] == "healthy"
    assert state["arrived"] == dependency.totals.arrived == 0


async def test_trouble_can_be_made_by_hand() -> None:
    async with listening() as (port, _):
        await ask(port, b"POST /-/phase/failing?seconds=30 HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")

        answer = await ask(port, b"GET /balance HTTP/1.1\r\nhost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("seconds", ["0", "61", "soon", "nan"])
async def test_trouble_of_no_sensible_length_is_refused(seconds: str) -> None:
    async with listening() as (port, dependency):
        target = f"/-/phase/hanging?seconds={seconds}".encode()
        answer = await ask(port, b"POST " + target + b" HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert dependency.phase is ScriptPhase.HEALTHY


async def test_looking_at_a_phase_does_not_enter_it() -> None:
    async with listening() as (port, dependency):
        answer = await ask(port, b"GET /-/phase/hanging HTTP/1.1\r\nhost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert dependency.phase is ScriptPhase.HEALTHY


async def test_nonsense_ends_the_connection() -> None:
    async with listening() as (port, dependency):
        with pytest.raises(asyncio.IncompleteReadError):
            await ask(port, b"\x16\x03\x01 hello\r\n\r\n")

    assert dependency.totals.arrived == 0
