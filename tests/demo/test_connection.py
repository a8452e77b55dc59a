import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sidecar.demo.connection import Caller
from tests.fakes.waiting import turn

Answer = Callable[[int], bytes | None]


class Server:
    """Answers the n-th request it reads with `answer(n)`; None: never; b"": hangs up."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.hung_up = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    def cut(self) -> None:
        for writer in self.writers:
            writer.close()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.answer(len(self.requests))
                if answer == b"":
                    break
                if answer is not None:
                    writer.write(answer)
        except asyncio.IncompleteReadError:
            self.hung_up.set()
        finally:
            writer.close()


@asynccontextmanager
async def calling(answer: Answer) -> AsyncIterator[tuple[Caller, Server]]:
    behaviour = Server(answer)
    server = await asyncio.start_server(behaviour, "127.0.0.1", 0)
    caller = Caller(server.sockets[0].getsockname()[1], "/balance")
    try:
        yield caller, behaviour
    finally:
        caller.close()
        server.close()
        await turn()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_a_connection_is_used_again() -> None:
    async with calling(lambda _: OK) as (caller, server):
        statuses = [await caller.get("r-1", 5.0) for _ in range(3)]

    assert statuses == [200, 200, 200]
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /balance HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nx-request-id: r-1\r\n" in server.requests[0]


async def test_requests_at_the_same_time_do_not_share_a_connection() -> None:
    async with calling(lambda _: OK) as (caller, server):
        statuses = await asyncio.gather(caller.get("r-1", 5.0), caller.get("r-1", 5.0))

    assert statuses == [200, 200]
    assert server.connections == 2


async def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    closing = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with calling(lambda _: closing) as (caller, server):
        statuses = [await caller.get("r-1", 5.0) for _ in range(2)]

    assert statuses == [503, 503]
    assert server.connections == 2


async def test_an_idle_connection_that_is_cut_is_not_used_again() -> None:
    async with calling(lambda _: OK) as (caller, server):
        await caller.get("r-1", 5.0)
        server.cut()
        async with asyncio.timeout(5.0):
            while caller._idle:
                await turn()

        status = await caller.get("r-2", 5.0)

    assert status == 200
    assert server.connections == 2


async def test_an_attempt_that_is_given_up_hangs_up() -> None:
    async with calling(lambda _: None) as (caller, server):
        with pytest.raises(TimeoutError):
            await caller.get("r-1", 0.02)

        await asyncio.wait_for(server.hung_up.wait(), 5.0)


@pytest.mark.parametrize("answer", [b"", b"SMTP ready\r\n\r\n"], ids=["hangs up", "nonsense"])
async def test_an_answer_that_never_comes_whole_is_an_error(answer: bytes) -> None:
    async with calling(lambda _: answer) as (caller, _):
        with pytest.raises(OSError, match="closed"):
            await caller.get("r-1", 5.0)


async def test_nobody_listening_is_an_error() -> None:
    async with calling(lambda _: OK) as (caller, _):
        pass

    with pytest.raises(ConnectionRefusedError):
        await caller.get("r-1", 5.0)
