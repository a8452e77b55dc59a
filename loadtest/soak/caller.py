"""The near end of a soak: one connection to the proxy, that reads and writes bodies at a pace, or not at all."""

import asyncio
import socket
from types import TracebackType
from typing import Final, Self

from loadtest.generator import HOST
from loadtest.soak.origin import HEAD_END, PIECE

READ_BYTES: Final = 65_536


class WrongError(Exception):
    """The answer was not the one that was due. The message is one line."""


class Caller:
    """A connection to the proxy inside `async with`. `pause` is seconds after each 64 KiB read or 256 KiB written."""

    def __init__(self, port: int, *, pause: float = 0.0) -> None:
        self._port = port
        self._pause = pause
        self._socket = socket.socket()
        self._left_over = b""

    async def __aenter__(self) -> Self:
        self._socket.settimeout(0)
        await asyncio.get_running_loop().sock_connect(self._socket, (HOST, self._port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    async def ask(self, path: str) -> None:
        """Send a GET and read nothing."""
        await self._send(f"GET {path} HTTP/1.1\r\nHost: payments\r\n\r\n".encode())

    async def download(self, path: str, length: int) -> None:
        """GET a body and read it to its end. Raises WrongError."""
        await self.ask(path)
        head = await self._head()
        if b"content-length:" in head:
            await self._read(length - len(self._left_over))
            return
        tail, taken = self._left_over[-5:], len(self._left_over)
        while tail != b"0\r\n\r\n":
            more = await self._receive()
            taken += len(more)
            tail = (tail + more)[-5:]
        if taken < length:
            raise WrongError(f"{taken} bytes of {length} and their framing")

    async def upload(self, length: int, *, chunked: bool) -> None:
        """POST a body and read the answer. Raises WrongError."""
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"
        await self._send(f"POST /take HTTP/1.1\r\nHost: payments\r\n{framing}\r\n\r\n".encode())
        left = length
        while left:
            size = min(left, len(PIECE))
            piece = PIECE[:size]
            await self._send(b"%x\r\n%b\r\n" % (size, piece) if chunked else piece)
            left -= size
            if self._pause:
                await asyncio.sleep(self._pause)
        if chunked:
            await self._send(b"0\r\n\r\n")
        await self._head()

    async def _head(self) -> bytes:
        """The head of a 200, in lower case; what came with it of the body is left over."""
        data = b""
        while HEAD_END not in data:
            data += await self._receive()
        head, _, self._left_over = data.partition(HEAD_END)
        if head[9:12] != b"200":
            raise WrongError(head.partition(b"\r\n")[0].decode("latin-1"))
        return head.lower()

    async def _read(self, left: int) -> None:
        while left > 0:
            left -= len(await self._receive())
        if left:
            raise WrongError(f"{-left} bytes too many")

    async def _receive(self) -> bytes:
        more = await asyncio.get_running_loop().sock_recv(self._socket, READ_BYTES)
        if not more:
            raise WrongError("closed before the end of the answer")
        if self._pause:
            await asyncio.sleep(self._pause)
        return more

    async def _send(self, piece: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, piece)
