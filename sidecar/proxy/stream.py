"""The upstream interface of an exchange: streams of connections, whatever protocol they speak.

A connection offers streams, as in httpcore: `has_capacity` and `lease`. An HTTP/1 connection has a capacity of one
and is its own stream; a multiplexed one has many. A stream carries one request and one response, and ends alone: to
cancel it takes nothing from the others that share its connection.
"""

from asyncio import Transport
from enum import Enum
from typing import Protocol

from sidecar.engine.destination import Destination
from sidecar.net import Endpoint
from sidecar.proxy.read_gate import ReadGate
from sidecar.wire.handshake import HandshakeFailure
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.malformed import Malformed


class Loss(Enum):
    """The ends of a stream before its response was complete."""

    RESET = "reset"
    """Broken off; the request may have been executed."""
    HUNG_UP = "hung_up"
    """The same on a new connection, of which no byte was answered."""
    STALE = "stale"
    """A kept-alive connection was closed as the request was written, and no byte of an answer came."""
    REFUSED = "refused"
    """The endpoint says that it has not acted on the request: REFUSED_STREAM, or above GOAWAY's last stream."""


class ResponseReceiver(Protocol):
    """The exchange that a stream works for. Called in the order in which things happen."""

    def on_interim(self, stream: "Stream", head: ResponseHead) -> None:
        """A 1xx response other than 101."""

    def on_response(self, stream: "Stream", head: ResponseHead, body: bytes, complete: bool) -> None:  # noqa: FBT001
        """The head, and what came of the body with it; `complete` when that is all of it.

        By position: a call by keyword costs 60 ns more, and this one is made for every request.
        """

    def on_body(self, stream: "Stream", data: bytes) -> None:
        """More of the body."""

    def on_end(self, stream: "Stream", data: bytes, trailers: bytes, verdict: int | None = None) -> None:
        """The last of the body, and the trailer lines that may be passed on.

        `verdict` is the status by which the answer is judged, where its head had none.
        """

    def on_malformed(self, stream: "Stream", error: Malformed) -> None:
        """The endpoint broke the protocol; the stream is closed."""

    def on_lost(self, stream: "Stream", loss: Loss | HandshakeFailure) -> None:
        """The stream is gone before its response was complete; a HandshakeFailure undid a handshake after the fact."""

    def on_stream_full(self, stream: "Stream") -> None:
        """The endpoint reads more slowly than the request's body comes."""

    def on_stream_drained(self, stream: "Stream") -> None:
        """It has caught up."""


class ConnectionWaiter(Protocol):
    """The exchange that waits for a stream on a connection which is still to be opened, or to become free."""

    def on_connected(self, stream: "Stream") -> None:
        """A stream is leased to it."""

    def on_connect_failure(self, error: Exception) -> None:
        """No connection can be had."""


class ConnectionOwner(Protocol):
    """The resolved address that a connection goes to, as the connection sees it."""

    endpoint: Endpoint
    label: str
    in_flight: int
    open: int
    answered_at: float
    consecutive_failures: int
    late: int

    def record_connect_failure(self, now: float) -> None:
        """No connection could be had there, or not for long: others are preferred for a while."""

    def record_failure(self, destination: Destination, now: float) -> None:
        """An attempt there came to a fast failure."""

    def record_timeout(self, began: float, now: float) -> None:
        """An attempt there, begun at `began`, is late."""

    def record_success(self, now: float) -> None:
        """An attempt there was answered as it should be."""

    def restore(self, connection: "UpstreamConnection", now: float) -> None:
        """The connection has capacity again."""

    def forget(self, connection: "UpstreamConnection") -> None:
        """The connection is gone, or leases no more streams."""


class Stream(Protocol):
    """One request and its response on a connection. `trailers` are field lines, each ended by CRLF."""

    owner: ConnectionOwner
    read_gate: ReadGate
    """Holds back the response of this stream alone."""

    def send_head(
        self, receiver: ResponseReceiver, head: RequestHead, added: bytes, data: bytes, trailers: bytes | None
    ) -> None:
        """Begin the request. `added` are field lines of ours; `data` is the body so far, all of it with `trailers`.

        From here until its response is complete, or until `release` or `cancel`, `receiver` is told what happens.
        """

    def send_data(self, data: bytes) -> None:
        """More of the body."""

    def end(self, trailers: bytes) -> None:
        """The body has ended."""

    def release(self, now: float) -> None:
        """The exchange has all of the response: the connection may serve another request if it can."""

    def cancel(self) -> None:
        """The exchange wants nothing more of it. Streams that share the connection go on."""

    def taking(self) -> bool:
        """Whether the endpoint, which reads too slowly, has taken anything since the last time this was asked."""

    def hand_over(self) -> Transport:
        """The bare connection after a 101, for a tunnel. Only where the connection is the stream."""


class UpstreamConnection(Protocol):
    """One connection to an address, in whatever protocol."""

    owner: ConnectionOwner

    @property
    def capacity(self) -> int:
        """The most streams at a time."""

    idle_since: float
    """When it last became free of streams, in monotonic seconds."""

    def has_capacity(self) -> bool:
        """Whether another stream can be leased now."""

    def lease(self) -> Stream | None:
        """A stream for one request; None when the connection turned out to be unfit, which closes it."""

    def idle(self) -> bool:
        """Whether no stream is leased."""

    def give_up(self) -> None:
        """Its owner counts it no longer: it is closed, handed over, or was not wanted any more when it was made."""

    def close(self) -> None:
        """Close it when what was written is sent."""
