"""Callers that hold connections open and repeat nothing: whatever is lost on the way is a failure that is seen.

They POST, which no proxy or client may send twice, and reuse a connection until an answer closes it, as HTTP/1.1 asks
(RFC 9112 §9.3). A connection that is closed under a caller who has just written is a failure too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.fakes.waiting import pace, until

HostPort = tuple[str, int]
_SECONDS = 20.0


@dataclass
class Callers:
    """What came of all calls. `endpoints` gives the addresses that may be connected to now."""

    endpoints: Callable[[], list[HostPort]]
    path: str = "/"
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    connections: int = 0

    async def call_on_and_on(self, number: int, pause: float) -> None:
        turn = number
        while True:
            endpoints = self.endpoints()
            host, port = endpoints[turn % len(endpoints)]
            turn += 1
            try:
                reader, writer = await asyncio.open_connection(host, port)
            except OSError as error:
                self.failures.append(f"connect to {port}: {error}")
                await pace(0.01)
                continue
            self.connections += 1
            try:
                while await self._call(reader, writer):
                    await pace(pause)
            finally:
                writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection may be used again."""
        try:
            writer.write(f"POST {self.path} HTTP/1.1\r\nHost: payments\r\nContent-Length: 2\r\n\r\nhi".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(
                int(line.partition(":")[2]) for line in head.split("\r\n") if line.lower().startswith("content-length")
            )
            body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            return False
        if " 200 " in head.split("\r\n")[0]:
            self.answered += 1
        else:
            self.failures.append(head.split("\r\n")[0] + " " + body.decode("latin-1"))
        return "connection: close" not in head.lower()

    async def until(self, more: int) -> None:
        """Wait for so many more answers."""
        goal = self.answered + more
        await until(lambda: self.answered >= goal)


@asynccontextmanager
async def calling(
    endpoints: Callable[[], list[HostPort]], *, count: int = 16, pause: float = 0.002, path: str = "/"
) -> AsyncIterator[Callers]:
    """`count` of them, until the end of the block; each pauses so many seconds between two calls."""
    callers = Callers(endpoints, path)
    tasks = [asyncio.create_task(callers.call_on_and_on(number, pause)) for number in range(count)]
    try:
        yield callers
        await callers.until(count)
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
