"""One connection to an endpoint: a request's bytes out, a response's head and body in, one exchange at a time.

Bytes that nobody asked for, or that follow a complete response, make the connection unfit: it is closed and none of
them is delivered, for they might be the answer to somebody else's question.
"""

import asyncio
import select
from asyncio import Transport
from typing import Protocol, cast

from sidecar.proxy.flow import Valve
from sidecar.proxy.plane import Plane
from sidecar.proxy.tls import ended_cleanly, refused_late
from sidecar.wire.chunked import ChunkedReader
from sidecar.wire.framing import CHUNKED, CLOSE, LENGTH, NONE
from sidecar.wire.handshake import HandshakeFailure
from sidecar.wire.head import ResponseHead
from sidecar.wire.malformed import Malformed
from sidecar.wire.reader import ResponseReader


class Lessee(Protocol):
    """The exchange that a connection works for. Called in the order things happen."""

    to_head: bool
    """The request is a HEAD: its response has no body."""
    upgrading: bool
    """The request asked to switch protocols: 101 is an answer."""

    def on_connected(self, upstream: "Upstream") -> None:
        """The connection that was asked for is open."""

    def on_connect_failure(self, error: Exception) -> None:
        """The connection that was asked for can not be had."""

    def on_interim(self, head: ResponseHead) -> None:
        """A 1xx response other than 101."""

    def on_response(self, head: ResponseHead, body: bytes, *, complete: bool) -> None:
        """The head, and what came of the body in the same breath; `complete` when that is all of it."""

    def on_body(self, data: bytes) -> None:
        """More of the body."""

    def on_end(self, data: bytes, trailers: bytes) -> None:
        """The last of the body, and the trailer lines that may be passed on."""

    def on_malformed(self, error: Malformed) -> None:
        """The endpoint spoke nonsense; the connection is closed."""

    def on_lost(self, upstream: "Upstream") -> None:
        """The connection is gone before the response was complete."""

    def on_upstream_full(self) -> None:
        """The endpoint reads more slowly than the request's body comes."""

    def on_upstream_drained(self) -> None:
        """It has caught up."""


class Home(Protocol):
    """Where a connection belongs."""

    label: str
    in_flight: int
    open: int

    def failed(self, now: float) -> None:
        """No connection could be had there, or not for long: others are preferred for a while."""

    def restore(self, upstream: "Upstream", now: float) -> None:
        """The connection is ready for another request."""

    def forget(self, upstream: "Upstream") -> None:
        """The connection, idle, is gone."""


class Upstream(asyncio.Protocol):
    """A connection to one endpoint."""

    __slots__ = (
        "_chunks",
        "_complete",
        "_framing",
        "_lessee",
        "_reader",
        "_reading_head",
        "_rejections",
        "_remaining",
        "_reusable",
        "_unread",
        "answered",
        "home",
        "idle_since",
        "rejected",
        "transport",
        "used",
        "valve",
    )

    transport: Transport
    valve: Valve

    def __init__(self, plane: Plane, home: Home) -> None:
        self.home = home
        self._reader = ResponseReader(plane.limits.upstream_head_bytes)
        self._rejections = plane.rejections
        self._lessee: Lessee | None = None
        self._reading_head = True
        self._framing = NONE
        self._remaining = 0
        self._chunks: ChunkedReader | None = None
        self._reusable = False
        self._complete = False
        self.answered = False
        """Some byte has come since the request was sent."""
        self.used = False
        """It has served a request before."""
        self.idle_since = 0.0
        self.rejected: HandshakeFailure | None = None
        """Why the endpoint undid a handshake that had seemed to succeed; it has read no request then."""

    @property
    def usable(self) -> bool:
        """Whether a request can be sent on it.

        Not if anything has arrived since the last answer, though the loop has not come to it yet: bytes would be taken
        for the answer, and an end would cost the request. Asking the kernel costs 0.4 µs.
        """
        return not (self.transport.is_closing() or self._unread(0))

    def send(self, lessee: Lessee, data: bytes) -> None:
        """Begin a request, and work for `lessee` until its response is complete or `release` or `abort` is called."""
        self._lessee = lessee
        self.home.in_flight += 1
        self.answered = False
        self.transport.write(data)

    def release(self, now: float, *, reusable: bool) -> None:
        """The exchange is done with it: keep it for another, or close it if either side can not go on."""
        if self._lessee is None:
            return
        self._lessee = None
        self.home.in_flight -= 1
        if self._reusable and self._complete and reusable and not self.transport.is_closing():
            self.used = True
            if self.valve.held:
                self.valve.release(Valve.PEER)  # the last caller was slow; the next one is not to wait for him
            self._reading_head = True
            self._reusable = self._complete = False
            self.home.restore(self, now)
        elif self.transport.get_write_buffer_size():
            self.transport.abort()  # the rest of an upload, which an endpoint that has answered may never read
        else:
            self.close()

    def abort(self) -> None:
        """The exchange gives up: nothing more of this connection is wanted."""
        if self._lessee is not None:
            self._lessee = None
            self.home.in_flight -= 1
        self.transport.abort()

    def hand_over(self) -> Transport:
        """The bare connection, for a tunnel: it is no longer its home's."""
        self.home.open -= 1
        self._reader.close()
        if self._lessee is not None:
            self._lessee = None
            self.home.in_flight -= 1
        return self.transport

    def close(self) -> None:
        """Close it when what was written is sent."""
        self.transport.close()

    # asyncio.Protocol, in the order in which it is called

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self.transport = cast("Transport", transport)
        self.valve = Valve(self.transport)
        self.home.open += 1
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._unread = poll.poll

    def data_received(self, data: bytes) -> None:
        """Bytes of a response."""
        lessee = self._lessee
        if lessee is None:
            self._spoil()
            self.transport.abort()
            return
        self.answered = True
        if self._reading_head:
            self._read_head(lessee, data)
        elif self._complete:
            self._spoil()
        elif self._framing is LENGTH:
            self._remaining -= len(data)
            if self._remaining > 0:
                lessee.on_body(data)
            else:
                if self._remaining < 0:
                    data = data[: self._remaining]
                    self._spoil()
                self._complete = True
                lessee.on_end(data, b"")
        elif self._framing is CHUNKED:
            self._read_chunks(lessee, data)
        else:
            lessee.on_body(data)

    def eof_received(self) -> bool:
        """The endpoint will send no more: the end of a body that nothing else delimits, unless TLS was cut off."""
        if (
            self._lessee is not None
            and self._framing is CLOSE
            and not self._reading_head
            and not self._complete
            and ended_cleanly(self.transport.get_extra_info("ssl_object"))
        ):
            self._complete = True
            self._lessee.on_end(b"", b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if exc is not None and not self.used and not self.answered:
            self.rejected = refused_late(exc)
        home = self.home
        home.open -= 1
        self._reader.close()
        lessee = self._lessee
        if lessee is None:
            home.forget(self)
            return
        self._lessee = None
        home.in_flight -= 1
        if not self._complete:
            lessee.on_lost(self)

    def pause_writing(self) -> None:
        """The transport holds as much as it should."""
        if self._lessee is not None:
            self._lessee.on_upstream_full()

    def resume_writing(self) -> None:
        """The transport has room again."""
        if self._lessee is not None:
            self._lessee.on_upstream_drained()

    # private, in the order of a response

    def _read_head(self, lessee: Lessee, data: bytes) -> None:
        reader = self._reader
        while True:
            try:
                head = reader.feed(data, to_head=lessee.to_head)
                if head is not None and head.status == 101 and not (lessee.upgrading and head.upgrade == b"websocket"):
                    raise Malformed(502, "bad_status_line", "101 without having been asked to switch protocols")
            except Malformed as error:
                self.abort()
                lessee.on_malformed(error)
                return
            if head is None:
                return
            data = reader.rest
            if head.status >= 200 or head.status == 101:
                break
            lessee.on_interim(head)
            if not data:
                return
        self._reading_head = False
        framing = self._framing = head.framing
        self._reusable = head.keep_alive
        if framing is LENGTH:
            length = head.length or 0
            self._remaining = remaining = length - len(data)
            if remaining <= 0:
                if remaining < 0:
                    data = data[:length]
                    self._spoil()
                self._complete = True
                lessee.on_response(head, data, complete=True)
            else:
                lessee.on_response(head, data, complete=False)
        elif framing is NONE:
            self._complete = True
            if data and head.status != 101:
                data = b""
                self._spoil()
            lessee.on_response(head, data, complete=True)
        elif framing is CHUNKED:
            self._chunks = ChunkedReader()
            lessee.on_response(head, b"", complete=False)
            if data and self._lessee is lessee:
                self._read_chunks(lessee, data)
        else:
            lessee.on_response(head, data, complete=False)

    def _read_chunks(self, lessee: Lessee, data: bytes) -> None:
        chunks = self._chunks
        assert chunks is not None
        try:
            payload = chunks.feed(data)
        except Malformed as error:
            self.abort()
            lessee.on_malformed(error)
            return
        if chunks.done:
            self._complete = True
            self._chunks = None
            if chunks.rest:
                self._spoil()
            lessee.on_end(payload, chunks.trailers)
        elif payload:
            lessee.on_body(payload)

    def _spoil(self) -> None:
        """There is more than the response: of it nothing is delivered, and nobody else may ask here."""
        self._reusable = False
        self._rejections["unexpected_bytes"] += 1
