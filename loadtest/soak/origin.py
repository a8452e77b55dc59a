"""The far end of a soak: gives and takes bodies of any size, at any pace, and counts what the kernel took from it.

On plain sockets, in the soak's own process: what it has in memory is not the proxy's, and its counts can be read while
a transfer runs.
"""

import asyncio
import socket
from types import TracebackType
from typing import Final, Self

from loadtest.generator import HOST
from loadtest.workload import SMALL_BODY

PIECE: Final = b"0123456789abcdef" * 16_384
"""256 KiB."""
HEAD_END: Final = b"\r\n\r\n"
SMALL_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(SMALL_BODY) + SMALL_BODY
)
PATIENCE: Final = 0.01
"""Seconds between two looks of a reader that is told to wait."""


class Origin:
    """Serves on a free port inside `async with`.

    GET /small; GET /give/N (N bytes with a Content-Length), GET /pour/N (chunked); POST /take, answered once the whole
    body is there. `sent` and `received` count bytes of bodies. Body bytes are read only while `reads` is true, and
    after each read it waits for `pause` seconds.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self.reads = True
        self.pause = 0.0
        self.port = 0
        self._listener = socket.socket()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener.bind((HOST, 0))
        self._listener.listen(128)
        self._listener.settimeout(0)
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            connection.settimeout(0)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._serve(connection))

    async def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while await self._answer(connection):
                    pass
            except (ConnectionError, ValueError):
                return  # the proxy closed it, as it may

    async def _answer(self, connection: socket.socket) -> bool:
        """One request and its response; False at the end of the connection."""
        loop = asyncio.get_running_loop()
        data = b""
        while HEAD_END not in data:
            if not (more := await loop.sock_recv(connection, 65_536)):
                return False
            data += more
        head, _, body = data.partition(HEAD_END)
        _, path, _ = head.split(b"\r\n", 1)[0].split(b" ")
        _, action, *rest = path.split(b"/")
        match action:
            case b"small":
                await loop.sock_sendall(connection, SMALL_ANSWER)
            case b"give":
                await self._give(connection, int(rest[0]))
            case b"pour":
                await self._pour(connection, int(rest[0]))
            case b"take":
                await self._take(connection, head.lower(), body)
                await loop.sock_sendall(connection, SMALL_ANSWER)
            case _:
                return False
        return True

    async def _give(self, connection: socket.socket, length: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        left = length
        while left:
            size = min(left, len(PIECE))
            await loop.sock_sendall(connection, PIECE[:size])
            self.sent += size
            left -= size

    async def _pour(self, connection: socket.socket, length: int) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        left = length
        while left:
            size = min(left, 65_536)
            await loop.sock_sendall(connection, b"%x\r\n%b\r\n" % (size, PIECE[:size]))
            self.sent += size
            left -= size
        await loop.sock_sendall(connection, b"0\r\n\r\n")

    async def _take(self, connection: socket.socket, head: bytes, already: bytes) -> None:
        """Read a body to its end. Of a chunked one, whose end this side need not find, until its last chunk."""
        loop = asyncio.get_running_loop()
        length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0].strip()
        total = int(length) if length else None
        self.received += (taken := len(already))
        tail = already[-5:]
        while taken != total if total is not None else tail != b"0\r\n\r\n":
            while not self.reads:  # noqa: ASYNC110 - an event would be set in every other run
                await asyncio.sleep(PATIENCE)
            if not (more := await loop.sock_recv(connection, 65_536)):
                raise ConnectionError("the body ended too early")
            taken += len(more)
            self.received += len(more)
            tail = (tail + more)[-5:]
            if self.pause:
                await asyncio.sleep(self.pause)
