"""One HTTP/1 connection to an endpoint: a request's bytes out, a response's head and body in, one exchange at a time.

It has a capacity of one stream, and is that stream itself. The bytes of HTTP/1 end here: chunks, and heads framed anew.
Bytes without a request, or that follow a complete response, make the connection unfit: it is closed and none of
them is delivered, for they might be the answer to another client's request.
"""

import asyncio
import os
import select
import socket
from asyncio import Transport
from collections.abc import Callable
from typing import ClassVar, Final, cast

from sidecar.proxy.context import ProxyContext
from sidecar.proxy.read_gate import ReadGate, unsent_bytes
from sidecar.proxy.stream import ConnectionOwner, Loss, ResponseReceiver
from sidecar.proxy.tls import ended_cleanly, refused_late
from sidecar.wire.chunked import ChunkedReader, chunk, last_chunk
from sidecar.wire.framing import CHUNKED, CLOSE, LENGTH, NONE
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.malformed import Malformed
from sidecar.wire.reader import ResponseReader
from sidecar.wire.writer import request_head

_END: Final = b"\r\n\r\n"
_join: Final = b"".join
_FRESH, _BEGUN, _BODY, _WHOLE = range(4)
"""The part of the response that has arrived: nothing, some of its head, its head, all of it."""
_LEFT_MOST: Final = 16
"""Pieces of 64 KiB that are read of a connection that can no longer be written to."""


class Upstream(asyncio.Protocol):
    """A connection to one endpoint. Implements `stream.Connection` and `stream.Stream`."""

    __slots__ = (
        "_chunks",
        "_counted",
        "_framing",
        "_head_bytes",
        "_interim_bytes",
        "_known",
        "_reader",
        "_receiver",
        "_rejections",
        "_remaining",
        "_request",
        "_request_open",
        "_reusable",
        "_state",
        "_unsent_bytes",
        "answered",
        "idle_since",
        "owner",
        "read_gate",
        "transport",
        "unread",
        "used",
    )

    capacity: ClassVar[int] = 1

    transport: Transport
    read_gate: ReadGate
    unread: Callable[[float], object]
    """Whether anything has arrived that the loop has not come to yet: `unread(0)` asks the kernel, for 0.4 µs."""

    _request: RequestHead

    def __init__(self, context: ProxyContext, owner: ConnectionOwner) -> None:
        self.owner = owner
        self._reader = ResponseReader(
            context.limits.upstream_head_bytes, context.limits.upstream_headers, context.answer_shapes
        )
        self._known = context.answers
        self._rejections = context.rejections
        self._head_bytes = context.limits.upstream_head_bytes
        self._interim_bytes = 0
        self._receiver: ResponseReceiver | None = None
        self._state = _FRESH
        self._framing = NONE
        self._remaining = 0
        self._chunks: ChunkedReader | None = None
        self._reusable = False
        self._unsent_bytes = 0
        self._counted = False
        self._request_open = False
        self.answered = False
        """Some byte has come since the request was sent."""
        self.used = False
        """It has served a request before."""
        self.idle_since = 0.0

    # stream.Connection

    def has_capacity(self) -> bool:
        """Whether it can be leased now."""
        return self._receiver is None and not self.transport.is_closing()

    def lease(self) -> "Upstream | None":
        """Itself. None, and closed, when something has come that was not asked for: an end, or an answer to nothing.

        Such bytes would be taken for the answer to the next request; an end would cost that request.
        """
        if self.unread(0) and (self.used or self._premature()):
            if not self.used:
                self._rejections["unexpected_bytes"] += 1
                self.transport.abort()
            return None
        return self

    def idle(self) -> bool:
        """Whether it is not leased."""
        return self._receiver is None

    # stream.Stream

    def send_head(
        self, receiver: ResponseReceiver, head: RequestHead, added: bytes, data: bytes, trailers: bytes | None
    ) -> None:
        """Begin a request; report to `receiver` until its response is complete, or `release` or `cancel` is called."""
        self._receiver = receiver
        self._request = head
        self.owner.in_flight += 1
        self.answered = False
        self._request_open = trailers is None
        if head.framing is CHUNKED:
            data = chunk(data) if data else b""
            if trailers is not None:
                data += last_chunk(trailers)
        self.transport.write(_join((head.onward or request_head(head), added, b"\r\n", data)))

    def send_data(self, data: bytes) -> None:
        """More of the request's body."""
        self.transport.write(chunk(data) if self._request.framing is CHUNKED else data)

    def end(self, trailers: bytes) -> None:
        """The request's body has ended."""
        self._request_open = False
        if self._request.framing is CHUNKED:
            self.transport.write(last_chunk(trailers))

    def release(self, now: float) -> None:
        """The exchange is done with it: keep it for another, or close it if it can not go on."""
        if self._receiver is None:
            return
        self._receiver = None
        owner = self.owner
        owner.in_flight -= 1
        if self._reusable and self._state == _WHOLE and not self._request_open:
            self.used = True
            if self.read_gate.held:
                self.read_gate.release(
                    self.read_gate.held
                )  # the next exchange is not to wait for the last one's client
            self._state = _FRESH
            self._reusable = False
            owner.restore(self, now)
        else:
            self._part()  # half of a request may have gone that way

    def cancel(self) -> None:
        """The exchange gives up: nothing more of this connection is wanted, which is not shared."""
        if self._receiver is not None:
            self._receiver = None
            self.owner.in_flight -= 1
        self.transport.abort()

    def taking(self) -> bool:
        """Whether the endpoint, which reads too slowly, has taken anything since the last time this was asked."""
        before, self._unsent_bytes = self._unsent_bytes, unsent_bytes(self.transport)
        return self._unsent_bytes < before

    def hand_over(self) -> Transport:
        """The bare connection, for a tunnel: its owner counts it no longer."""
        self.give_up()
        if self._receiver is not None:
            self._receiver = None
            self.owner.in_flight -= 1
        return self.transport

    def give_up(self) -> None:
        """Its owner counts it no longer: it is closed, handed over, or was not wanted any more when it was made."""
        if self._counted:
            self._counted = False
            self.owner.open -= 1
        self._reader.close()

    def close(self) -> None:
        """Close it when what was written is sent."""
        self.transport.close()

    # asyncio.Protocol, in the order in which it is called

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self.transport = cast("Transport", transport)
        self.read_gate = ReadGate(self.transport)
        self._counted = True
        self.owner.open += 1
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.unread = poll.poll

    def data_received(self, data: bytes) -> None:
        """Bytes of a response."""
        receiver = self._receiver
        if receiver is None:
            self._spoil()
            self.owner.forget(self)
            self.transport.abort()
            return
        self.answered = True
        state = self._state
        if state == _FRESH:
            end = data.find(_END) + 4
            raw = data[:end]
            head = self._known.get(raw) or self._known.recall(raw)
            if head is not None and not self._request.to_head:
                if head.framing is LENGTH and len(data) - end == head.length:  # as most are: 60 ns less
                    self._reusable = head.keep_alive
                    self._state = _WHOLE
                    receiver.on_response(self, head, data[end:], True)  # noqa: FBT003
                else:
                    self._deliver(receiver, head, data[end:])
            else:
                self._read_head(receiver, data)
        elif state == _BEGUN:
            self._read_head(receiver, data)
        elif state == _WHOLE:
            self._spoil()
        elif self._framing is LENGTH:
            self._remaining -= len(data)
            if self._remaining > 0:
                receiver.on_body(self, data)
            else:
                if self._remaining < 0:
                    data = data[: self._remaining]
                    self._spoil()
                self._state = _WHOLE
                receiver.on_end(self, data, b"")
        elif self._framing is CHUNKED:
            self._read_chunks(receiver, data)
        else:
            receiver.on_body(self, data)

    def eof_received(self) -> bool:
        """The endpoint will send no more: the end of a body that nothing else delimits, unless TLS was cut off."""
        if self._receiver is None:
            self.owner.forget(self)
        elif (
            self._framing is CLOSE
            and self._state == _BODY
            and ended_cleanly(self.transport.get_extra_info("ssl_object"))
        ):
            self._state = _WHOLE
            self._receiver.on_end(self, b"", b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        rejected = None
        if exc is not None:
            if not self.used and not self.answered:
                rejected = refused_late(exc)
            if self._receiver is not None:
                self._read_what_is_left()
        self.give_up()
        owner = self.owner
        receiver = self._receiver
        if receiver is None:
            owner.forget(self)
            return
        self._receiver = None
        owner.in_flight -= 1
        if self._state != _WHOLE:
            receiver.on_lost(self, rejected or self._loss())

    def pause_writing(self) -> None:
        """The transport holds as much as it should."""
        self._unsent_bytes = unsent_bytes(self.transport)
        if self._receiver is not None:
            self._receiver.on_stream_full(self)

    def resume_writing(self) -> None:
        """The transport has room again."""
        if self._receiver is not None:
            self._receiver.on_stream_drained(self)

    # private, in the order of a response

    def _premature(self) -> bool:
        """Whether bytes have come already, of a connection on which nothing has been asked yet."""
        if self.transport.get_extra_info("ssl_object") is not None:
            return False  # TLS has words of its own after a handshake
        try:
            with socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno())) as sock:
                return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False  # out of files among others: what has come will be read, and judged then

    def _loss(self) -> Loss:
        """The kind of loss of a response that was not complete when its connection ended."""
        if self.answered:
            return Loss.RESET
        return Loss.STALE if self.used else Loss.HUNG_UP

    def _part(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # the rest of an upload, which an endpoint that has answered may never read
        else:
            self.transport.close()

    def _read_head(self, receiver: ResponseReceiver, data: bytes) -> None:
        reader = self._reader
        while True:
            try:
                head = reader.feed(data, to_head=self._request.to_head)
                if head is not None and head.status < 200:
                    self._check_interim(receiver, head)
            except Malformed as error:
                self.cancel()
                receiver.on_malformed(self, error)
                return
            if head is None:
                self._state = _BEGUN
                return
            whole = self._state == _FRESH
            raw, data = data, reader.rest
            if head.status >= 200 or head.status == 101:
                self._interim_bytes = 0
                break
            self._state = _BEGUN
            receiver.on_interim(self, head)
            if not data:
                return
        if whole and not self._request.to_head and head.status != 101:
            self._known.keep(raw[: len(raw) - len(data)], head)  # in one piece: else its end would stand for all of it
        self._deliver(receiver, head, data)

    def _check_interim(self, receiver: ResponseReceiver, head: ResponseHead) -> None:
        """Raises Malformed for a 101 without an upgrade request, and for too many other 1xx."""
        if head.status == 101 and not (self._request.upgrade and head.upgrade == b"websocket"):
            raise Malformed(502, "bad_status_line", "101 without having been asked to switch protocols")
        self._interim_bytes += len(head.line) + len(head.fields)
        if self._interim_bytes > self._head_bytes:
            raise Malformed(502, "head_too_large", f"interim answers of more than {self._head_bytes} bytes")

    def _deliver(self, receiver: ResponseReceiver, head: ResponseHead, data: bytes) -> None:
        """The head has been read; `data` is what followed it."""
        framing = self._framing = head.framing
        self._reusable = head.keep_alive
        if framing is LENGTH:
            length = head.length or 0
            self._remaining = remaining = length - len(data)
            if remaining > 0:
                self._state = _BODY
                receiver.on_response(self, head, data, False)  # noqa: FBT003
                return
            if remaining < 0:
                data = data[:length]
                self._spoil()
            self._state = _WHOLE
            receiver.on_response(self, head, data, True)  # noqa: FBT003
        elif framing is NONE:
            self._state = _WHOLE
            if data and head.status != 101:
                data = b""
                self._spoil()
            receiver.on_response(self, head, data, True)  # noqa: FBT003
        elif framing is CHUNKED:
            self._state = _BODY
            self._chunks = ChunkedReader(self._head_bytes)
            receiver.on_response(self, head, b"", False)  # noqa: FBT003
            if data and self._receiver is receiver:
                self._read_chunks(receiver, data)
        else:
            self._state = _BODY
            receiver.on_response(self, head, data, False)  # noqa: FBT003

    def _read_chunks(self, receiver: ResponseReceiver, data: bytes) -> None:
        chunks = self._chunks
        assert chunks is not None
        try:
            payload = chunks.feed(data)
        except Malformed as error:
            self.cancel()
            receiver.on_malformed(self, error)
            return
        if chunks.done:
            self._state = _WHOLE
            self._chunks = None
            if chunks.rest:
                self._spoil()
            receiver.on_end(self, payload, chunks.trailers)
        elif payload:
            receiver.on_body(self, payload)

    def _read_what_is_left(self) -> None:
        """Read the answer that an endpoint sent to an upload before it closed: our next write fails with it unread.

        No end is read from here: after a failed write a clean end can not be told from a reset.
        """
        if self.transport.get_extra_info("ssl_object") is not None:
            return
        receiver = self._receiver
        file = self.transport.get_extra_info("socket").fileno()
        try:
            for _ in range(_LEFT_MOST):
                data = os.read(file, 65536)
                if not data:
                    break
                self.data_received(data)
                if self._receiver is not receiver:
                    self.owner.forget(self)
                    break
        except OSError:
            pass

    def _spoil(self) -> None:
        """There is more than the response: none of it is delivered, and the connection is not used again."""
        self._reusable = False
        self._rejections["unexpected_bytes"] += 1
