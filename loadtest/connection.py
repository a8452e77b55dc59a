"""One keep-alive connection to a proxy: one request at a time, and every answer checked."""

import asyncio
from collections.abc import Iterator
from typing import Protocol, cast

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"


class Owner(Protocol):
    """Who decides when a connection asks."""

    def answered(self, began: float) -> None:
        """The answer was right. `began` is what `send` was given."""

    def free(self, connection: "Connection") -> None:
        """The connection can be used, for the first time or again."""

    def lost(self, connection: "Connection", reason: str) -> None:
        """The connection is closed. The reason is empty if the other side closed when it was free to."""


class Connection(asyncio.BufferedProtocol):
    """Sends the next request whenever it is told to.

    `began` is an instant of the owner's clock in seconds. The buffer may be shared by all connections of one loop: what
    is read into it is used up before the next read.
    """

    __slots__ = (
        "_announcement",
        "_buffer",
        "_closing",
        "_expected_bytes",
        "_head",
        "_left",
        "_owner",
        "_requests",
        "_transport",
        "began",
        "busy",
    )

    def __init__(self, requests: Iterator[bytes], expected_bytes: int, buffer: bytearray, owner: Owner) -> None:
        self.began = 0.0
        self.busy = False
        self._requests = requests
        self._expected_bytes = expected_bytes
        self._announcement = str(expected_bytes).encode()
        self._buffer = buffer
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._left = 0
        self._closing = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, began: float) -> None:
        """Send the request. The connection must be open and not busy."""
        self.began = began
        self.busy = True
        assert self._transport is not None
        self._transport.write(next(self._requests))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._left:
            self._left -= nbytes
        elif not self._read_head(bytes(memoryview(self._buffer)[:nbytes])):
            return
        if self._left > 0:
            return
        if self._left < 0:
            self._fail("longer than announced")
            return
        self.busy = False
        self._owner.answered(self.began)
        if self._closing:
            self._fail("")  # RFC 9112 §9.6: it may say so with any answer
        else:
            self._owner.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._fail("closed before the answer" if self.busy else "")

    def _read_head(self, chunk: bytes) -> bool:
        """True once the head is whole and right; what is missing of the body is then in `_left`."""
        data = self._head + chunk
        if not self.busy:
            self._fail("bytes nobody asked for")
            return False
        end = data.find(HEAD_END)
        if end < 0:
            self._head = data
            return False
        self._head = b""
        if data[9:12] != b"200":
            self._fail(f"status {data[9:12].decode('latin-1')}")
            return False
        head = data[:end].lower()
        announced = head.partition(LENGTH)[2].partition(b"\r\n")[0].strip()
        if announced != self._announcement:
            self._fail(f"content-length {announced.decode('latin-1') or 'absent'}")
            return False
        self._closing = b"\r\nconnection: close" in head
        self._left = self._expected_bytes - (len(data) - end - len(HEAD_END))
        return True

    def _fail(self, reason: str) -> None:
        self.close()
        self.busy = False
        self._owner.lost(self, reason)
