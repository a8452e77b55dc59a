"""A bad answer that is kept while its retry is on the way, and delivered after all if the retry may not leave."""

from typing import Final

from sidecar.proxy.stream import Stream
from sidecar.wire.head import ResponseHead

HELD_BYTES: Final = 1 << 20
"""Of a body, kept until the retry has left. Reading is held meanwhile, so no more comes than was on its way; if that is
more than this, the answer is let go, and is a fault if no retry leaves."""


class HeldAnswer:
    """The head, and what has come of the body and the trailers."""

    __slots__ = ("body", "head", "stream", "trailers")

    def __init__(self, head: ResponseHead, body: bytes, stream: Stream | None) -> None:
        self.head = head
        self.body = body
        self.trailers = b""
        self.stream = stream
        """Still to be read from, its reading held; None when the response is complete."""

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self.stream is None

    def keep(self, data: bytes) -> bool:
        """More of the body. False, and the stream cancelled, where that is more than is kept."""
        self.body += data
        if len(self.body) <= HELD_BYTES:
            return True
        if self.stream is not None:
            self.stream.cancel()
        return False

    def end(self, trailers: bytes) -> None:
        """All of it has come."""
        self.trailers = trailers
        self.stream = None

    def let_go(self) -> None:
        """It is not delivered: the retry has left."""
        if self.stream is not None:
            self.stream.cancel()
