"""The clients: kept-alive connections to a few ports, and two ways to call: once, or again and again."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import httptools

from loadtest.storm.witness import ID_HEADER

HOST = "127.0.0.1"
BODY = b'{"amount":"10.00"}\n'


class Answer(NamedTuple):
    """What came back. `retry_after` as it was sent, None without one."""

    status: int
    retry_after: str | None


class Client(Protocol):
    """One way to get an answer."""

    async def get_answer(self, number: int, destination: int, *, post: bool) -> int:
        """The final status. Raises OSError (TimeoutError is one) when there was none; the caller bounds the time."""


class Doors:
    """Where requests go in: for each destination some ports, of which every try takes one at random."""

    def __init__(self, ports: Sequence[Sequence[int]], seed: int) -> None:
        self._ports = ports
        self._dice = random.Random(seed)
        self._idle: dict[int, list[_Connection]] = {port: [] for doors in ports for port in doors}

    async def ask(self, number: int, destination: int, *, post: bool) -> Answer:
        """One try. Given up by cancellation it closes its connection, as clients do."""
        port = self._dice.choice(self._ports[destination])
        idle = self._idle[port]
        connection = None
        while idle and connection is None:
            connection = idle.pop()
            if not connection.is_open:
                connection = None
        if connection is None:
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, HOST, port)
        try:
            answer = await connection.ask(_wire(number, port, post=post))
        except BaseException:
            connection.close()
            raise
        if connection.is_open:
            idle.append(connection)
        return answer

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()


@dataclass(frozen=True, slots=True)
class Once:
    """Asks once: whatever else there is to do is the proxy's business, or nobody's."""

    doors: Doors

    async def get_answer(self, number: int, destination: int, *, post: bool) -> int:
        return (await self.doors.ask(number, destination, post=post)).status


@dataclass(frozen=True, slots=True)
class Naive:
    """Asks up to `tries` times, `pause` seconds apart, each for at most `per_try` seconds. Nothing limits their sum."""

    doors: Doors
    per_try: float
    tries: int = 3
    pause: float = 0.1

    async def get_answer(self, number: int, destination: int, *, post: bool) -> int:
        for left in range(self.tries - 1, -1, -1):
            try:
                async with asyncio.timeout(self.per_try):
                    status = (await self.doors.ask(number, destination, post=post)).status
            except OSError:
                if not left:
                    raise
            else:
                if (status < 500 and status != 429) or not left:
                    return status
            await asyncio.sleep(self.pause)
        raise AssertionError("the last try returns or raises")


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._retry_after: str | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, wire: bytes) -> Answer:
        if self._transport is None:
            raise ConnectionResetError("the connection was closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._retry_after = None
        self._transport.write(wire)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self._retry_after = value.decode("latin-1")

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(self._parser.get_status_code(), self._retry_after))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed before the answer"))


def _wire(number: int, port: int, *, post: bool) -> bytes:
    head = f"{'POST' if post else 'GET'} /balance HTTP/1.1\r\nhost: {HOST}:{port}\r\n{ID_HEADER}: {number}\r\n"
    if not post:
        return f"{head}\r\n".encode()
    return f"{head}content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY
