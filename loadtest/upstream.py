"""The upstream behind every proxy: answers from memory, as fast as one Python process can.

Not a web server: it knows the requests of `workload.py`, takes bodies with a Content-Length, and answers 404 or 411 to
anything else. `python -m loadtest.upstream` prints its port on one line and serves until it is told to end.
"""

import asyncio
import gc
from collections.abc import Iterator
from itertools import cycle
from typing import cast

import uvloop

from loadtest.workload import WORKLOADS

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"
READ_BYTES = 256 * 1024
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
NOWHERE = cycle([NOT_FOUND])
LENGTH_REQUIRED = b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Upstream(asyncio.BufferedProtocol):
    """One connection. Requests may come in any number of pieces, and several in one piece."""

    __slots__ = ("_buffer", "_head", "_left", "_replies", "_reply", "_transport")

    def __init__(self, replies: dict[bytes, Iterator[bytes]], buffer: bytearray) -> None:
        self._replies = replies
        self._buffer = buffer
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._left = 0
        self._reply = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if nbytes < self._left:
            self._left -= nbytes
            return
        rest = bytes(memoryview(self._buffer)[self._left : nbytes])
        if self._left:
            self._left = 0
            self._answer(self._reply)
        if rest:
            self._read(self._head + rest)

    def _read(self, data: bytes) -> None:
        self._head = b""
        while data:
            end = data.find(HEAD_END)
            if end < 0:
                self._head = data
                return
            body_at = end + len(HEAD_END)
            self._reply = next(self._replies.get(data[: data.find(b" HTTP/")].partition(b"?")[0], NOWHERE))
            length = 0 if data.startswith(b"GET ") else _content_length(data[:end])
            if length is None:
                self._answer(LENGTH_REQUIRED)
                self._close()
                return
            missing = length - (len(data) - body_at)
            if missing > 0:
                self._left = missing
                return
            self._answer(self._reply)
            data = data[body_at + length :]

    def _answer(self, reply: bytes) -> None:
        assert self._transport is not None
        self._transport.write(reply)

    def _close(self) -> None:
        assert self._transport is not None
        self._transport.close()


def replies() -> dict[bytes, Iterator[bytes]]:
    """Method and path, without a query → whole responses, without end."""
    return {
        f"{workload.method} {workload.path}".encode(): cycle(workload.responses()) for workload in WORKLOADS.values()
    }


def _content_length(head: bytes) -> int | None:
    lowered = head.lower()
    at = lowered.find(LENGTH)
    return None if at < 0 else int(lowered[at + len(LENGTH) :].partition(b"\r\n")[0])


async def serve() -> None:
    known, buffer = replies(), bytearray(READ_BYTES)
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(known, buffer), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    gc.disable()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
