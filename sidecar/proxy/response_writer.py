"""The client's side of an exchange, whatever protocol the client speaks."""

from typing import Protocol

from sidecar.proxy.problem import Problem
from sidecar.proxy.read_gate import ReadGate
from sidecar.proxy.stream import Stream
from sidecar.proxy.timers import Timer
from sidecar.wire.head import ResponseHead


class ResponseWriter(Protocol):
    """Writes one response, from heads and bodies to bytes. `added` are field lines of ours, each ended by CRLF.

    By position, as calls by keyword cost 60 ns more; `now` in monotonic seconds.
    """

    timer: Timer
    """The exchange's while it lasts."""
    read_gate: ReadGate
    """Holds back the body of this request alone."""

    def interim(self, head: ResponseHead) -> None:
        """A 1xx response, for clients that can understand one."""

    def respond(
        self,
        head: ResponseHead,
        added: bytes,
        body: bytes,
        complete: bool,  # noqa: FBT001
        now: float,
        trailers: bytes = b"",
    ) -> None:
        """The head, and the body so far; `complete` with its trailers when that is all: the exchange is over then."""

    def body(self, data: bytes) -> None:
        """More of the body."""

    def end(self, data: bytes, trailers: bytes, now: float) -> None:
        """The last of the body: the exchange is over."""

    def refuse(self, problem: Problem, added: bytes, now: float) -> None:
        """An answer of the sidecar's own: the exchange is over."""

    def reset(self) -> None:
        """Break off, so that no client takes the response for complete: the exchange is over."""

    def switch(self, head: ResponseHead, added: bytes, stream: Stream, early: bytes) -> None:
        """101: both sides speak something else from here on. `early` bytes have come from the endpoint already."""

    def taking(self) -> bool:
        """Whether the client, which reads too slowly, has taken anything since the last time this was asked."""
