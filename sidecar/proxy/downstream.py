"""One client's HTTP/1 connection: requests in, one exchange at a time, responses out in the same order.

The bytes of HTTP/1 begin and end here: chunks, `Connection`, keep-alive, and the answers of the sidecar's own.
"""

import asyncio
import socket
import struct
from asyncio import Transport
from functools import partial
from typing import Final, Protocol, cast

from sidecar.proxy.body_keyed_exchange import BodyKeyedExchange
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.contract_answer import CONTRACT_PATH, ContractAnswer
from sidecar.proxy.dry_run import DryRun
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.gated_exchange import GatedExchange
from sidecar.proxy.observer import ExchangeObserver, PairOfObservers
from sidecar.proxy.problem import Problem
from sidecar.proxy.read_gate import ReadGate, unsent_bytes
from sidecar.proxy.replies import problem as problem_response
from sidecar.proxy.route import Route
from sidecar.proxy.router import Router
from sidecar.proxy.stream import Stream
from sidecar.proxy.traced_exchange import traced
from sidecar.proxy.tunnel import Tunnel, connect_tunnel
from sidecar.wire.authority import parse_authority
from sidecar.wire.chunked import ChunkedReader, chunk, last_chunk
from sidecar.wire.forwarded import forwarded
from sidecar.wire.framing import CHUNKED, CLOSE, LENGTH, NONE
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.malformed import Malformed
from sidecar.wire.misdirected import Misdirected
from sidecar.wire.reader import RequestReader
from sidecar.wire.recent import Recent
from sidecar.wire.writer import CHUNKED_LINE, request_head, response_head

_LINGER: Final = 2.0
"""Seconds in which a client may still take in the answer before the connection is closed under it."""
_ALLOW: Final = b"Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE\r\n"
"""Beside a 405 (RFC 9110 §15.5.6): the methods that every destination gets to see."""
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close with RST

_END: Final = b"\r\n\r\n"
_NEWLINE: Final = _END[-1]
_CLOSE_LINE: Final = b"Connection: close\r\n"
_KEEP_LINE: Final = b"Connection: keep-alive\r\n"
_HEAD, _BODY, _BUSY, _FULL, _LINGERING, _OTHER = range(6)
_join: Final = b"".join  # 45 ns less than three additions


class Port(Protocol):
    """The listener a connection came in on."""

    route: Route | None
    """The destination that every request on it is for; None when requests name theirs."""
    ingress: bool
    """Whether the service itself is behind it, which is told who asked."""

    @property
    def router(self) -> Router:
        """That of the snapshot in force."""

    @property
    def known(self) -> Recent[tuple[RequestHead, Route]]:
        """Heads met lately, as they were read and routed."""

    @property
    def connect(self) -> bool:
        """Whether CONNECT is tunnelled."""

    def joined(self, downstream: "Downstream") -> None:
        """A connection was accepted."""

    def left(self, downstream: "Downstream") -> None:
        """A connection is gone."""


class Downstream(asyncio.Protocol):
    """A client connection. Implements `response_writer.ResponseWriter`."""

    __slots__ = (
        "__weakref__",
        "_ahead",
        "_chunked_out",
        "_chunks",
        "_close_after",
        "_context",
        "_exchange",
        "_forwarding",
        "_fresh",
        "_full",
        "_lost",
        "_opening",
        "_own",
        "_port",
        "_reader",
        "_received",
        "_remaining",
        "_request",
        "_state",
        "_tunnel",
        "_unsent_bytes",
        "read_gate",
        "timer",
        "transport",
        "write",
    )

    transport: Transport
    read_gate: ReadGate
    _request: RequestHead

    def __init__(self, context: ProxyContext, port: Port) -> None:
        limits = context.limits
        self._context = context
        self._port = port
        self._reader = RequestReader(limits.head_bytes, limits.headers, limits.target_bytes, context.request_shapes)
        self._state = _HEAD
        self._exchange: Exchange | GatedExchange | ContractAnswer | BodyKeyedExchange | None = None
        self._chunked_out = self._close_after = False  # of the response that is being written
        self._ahead = b""
        self._forwarding: tuple[bytes, bytes] | None = None
        self._remaining = 0
        self._received = 0
        self._chunks: ChunkedReader | None = None
        self._fresh = True
        self._own = False
        """The last head was one that is not kept, so the next one is not looked for either."""
        self._lost = False
        self._full = False
        self._unsent_bytes = 0
        self._opening: asyncio.Task[None] | None = None
        self._tunnel: Tunnel | None = None
        self.timer = context.wheel.timer(self._on_timer)

    @property
    def idle(self) -> bool:
        """No request is under way on it."""
        return self._state == _HEAD and not self._reader.begun

    @property
    def idle_until(self) -> float:
        """The instant at which it is closed where it stays idle: `limits.idle_timeout` after it became so."""
        return self.timer.at

    # asyncio.Protocol, in the order in which it is called

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport = cast("Transport", transport)
        self.write = self.transport.write
        self.read_gate = ReadGate(self.transport)
        self._context.connections += 1
        if self._port.ingress:
            client = str(transport.get_extra_info("peername")[0]).encode("ascii")
            self._forwarding = client, b"http" if transport.get_extra_info("ssl_object") is None else b"https"
        self._port.joined(self)
        self.timer.arm(self._context.clock() + self._context.limits.idle_timeout)

    def data_received(self, data: bytes) -> None:
        """Bytes of a client."""
        state = self._state
        if state == _HEAD:
            if self._fresh and not self._own:
                recent = self._port.known
                raw, rest = data, b""
                known = recent.get(data) if data[-1] == _NEWLINE else None  # a head and no more, as most are
                if known is None:
                    end = data.find(_END) + 4
                    if end < len(data):
                        raw, rest = data[:end], data[end:]
                        known = recent.get(raw)
                    known = known or recent.recall(raw)
                if known is not None:
                    head, route = known
                    self._serve(head, route, rest)
                    return
            self._read_head(data)
        elif state == _BODY:
            self._read_body(data)
        elif state in (_BUSY, _FULL):
            self._ahead += data
            self.read_gate.hold(ReadGate.AHEAD)

    def eof_received(self) -> bool:
        """The client will send no more: it is gone, since a closed socket can not be told from a half-closed one."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        del exc
        self._lost = True
        self.timer.retire()
        self._reader.close()
        self._leave()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.on_client_gone()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._full = True
        self._unsent_bytes = unsent_bytes(self.transport)
        if self._exchange is not None:
            self._exchange.on_client_full()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._full = False
        if self._exchange is not None:
            self._exchange.on_client_drained()
        elif self._state == _FULL:
            self._over(self._context.clock())

    # response_writer.ResponseWriter

    def interim(self, head: ResponseHead) -> None:
        """A 1xx response, which HTTP/1.0 does not know."""
        if self._request.minor == 1:
            self.write((head.onward or response_head(head)) + b"\r\n")

    def respond(
        self,
        head: ResponseHead,
        added: bytes,
        body: bytes,
        complete: bool,  # noqa: FBT001 - a call by keyword costs 60 ns more
        now: float,
        trailers: bytes = b"",
    ) -> None:
        """The head, framed anew, and the body so far."""
        request = self._request
        close = self._state == _BODY or not request.keep_alive or self._context.draining
        framing = head.framing
        if framing is CHUNKED or framing is CLOSE:
            if request.minor == 1:
                added += CHUNKED_LINE
                if body:
                    body = chunk(body)
                if complete:
                    body += last_chunk(trailers)
                else:
                    self._chunked_out = True
            else:
                close = True
        if close:
            added += _CLOSE_LINE
        elif request.minor == 0:
            added += _KEEP_LINE
        self.write(_join((head.onward or response_head(head), added, b"\r\n", body)))
        if not complete:
            self._close_after = close
        elif close:
            self._last()
        else:
            self._over(now)

    def body(self, data: bytes) -> None:
        """More of the body."""
        self.write(chunk(data) if self._chunked_out else data)

    def end(self, data: bytes, trailers: bytes, now: float) -> None:
        """The last of the body."""
        if self._chunked_out:
            self._chunked_out = False
            end = last_chunk(trailers)
            data = chunk(data) + end if data else end
        if data:
            self.write(data)
        if self._close_after:
            self._last()
        else:
            self._over(now)

    def refuse(self, problem: Problem, added: bytes, now: float) -> None:
        """An answer of the sidecar's own."""
        request = self._request
        close = self._state == _BODY or not request.keep_alive or self._context.draining
        if not close and request.minor == 0:
            added += _KEEP_LINE
        self.write(
            problem_response(
                problem.status,
                problem.reason,
                problem.detail,
                destination=problem.destination,
                request_id=problem.request_id,
                limit=problem.limit,
                added=added,
                to_head=request.to_head,
                close=close,
            )
        )
        if close:
            self._last()
        else:
            self._over(now)

    def reset(self) -> None:
        """Break the connection with a reset: a clean end would make half a response look whole."""
        self._exchange = None
        self._state = _OTHER
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def taking(self) -> bool:
        """Whether the client, which reads too slowly, has taken anything since the last time this was asked."""
        before, self._unsent_bytes = self._unsent_bytes, unsent_bytes(self.transport)
        return self._full and self._unsent_bytes < before

    def switch(self, head: ResponseHead, added: bytes, stream: Stream, early: bytes) -> None:
        """101: a tunnel from here on."""
        added += b"Connection: upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
        self.write((head.onward or response_head(head)) + added + b"\r\n")
        self._exchange = None
        self._state = _OTHER
        ahead, self._ahead = self._ahead, b""
        other = stream.hand_over()
        self._leave_to(Tunnel(self._context, self.transport, other, self._leave), early, ahead)

    def close_if_idle(self) -> None:
        """Close the connection unless a request is under way on it."""
        if self.idle and not self.transport.is_closing():
            self.transport.close()

    def close_tunnel(self) -> None:
        """End the tunnel that the connection has become, if it has."""
        if self._tunnel is not None:
            self._tunnel.close()

    # private, in the order of a request

    def _over(self, now: float) -> None:
        """The response is complete; another request may follow."""
        self._exchange = None
        if self._full:
            # Else a client could ask again and again, read nothing, and have all of it kept for him.
            self._state = _FULL
            self.timer.arm(now + self._context.limits.idle_timeout)
            return
        self.timer.arm(now + self._context.limits.idle_timeout)
        if self._ahead or self.read_gate.held:
            # Not from here: a thousand pipelined requests must not be a thousand frames deep. Busy until then, for
            # what comes meanwhile belongs behind what came before.
            self._state = _BUSY
            self._context.loop.call_soon(self._go_on)
        else:
            self._state = _HEAD

    def _last(self) -> None:
        """The response is complete, and no other request may follow."""
        self._exchange = None
        self._close()

    def _read_head(self, data: bytes) -> None:
        reader = self._reader
        try:
            head = reader.feed(data)
        except Malformed as error:
            self._reject(error)
            return
        if head is None:
            if self._fresh and reader.begun:
                self._fresh = False
                self.timer.arm(self._context.clock() + self._context.limits.head_timeout)
            return
        whole, self._fresh = self._fresh, True
        self._state = _BUSY
        if head.method == b"CONNECT":
            self._connect(head)
            return
        port = self._port
        try:
            limit = self._context.limits.body_bytes
            if limit is not None and head.length is not None and head.length > limit:
                raise Malformed(413, "body_too_large", f"the body is larger than {limit} bytes")
            route = port.router.route(head, port.route)
        except Malformed as error:
            error.to_head = head.to_head
            self._reject(error)
            return
        except Misdirected as error:
            self._misdirect(error, head)
            return
        if self._forwarding is not None:
            head.fields = forwarded(head.fields, *self._forwarding)
            if head.retry_attempt:  # of the caller's own sidecar: the service may want to know
                head.fields += b"x-retry-attempt: %b\r\n" % head.retry_attempt
        else:
            head.retry_attempt = b""  # ours to say on the way out
        head.onward = request_head(head)
        rest = reader.rest
        own = self._own = bool(head.trace or head.request_id or self._forwarding is not None)
        if whole and not own and port.router.routes.get(route.name) is route:
            # In one piece, or its end alone would stand for all of it; with an id of its own it will hardly come again,
            # and one that names the caller is for that caller only.
            port.known.keep(data[: len(data) - len(rest)], (head, route))
        self._serve(head, route, rest)

    def _serve(self, head: RequestHead, route: Route, rest: bytes) -> None:
        """A request has been read and routed; `rest` is what followed its head."""
        now = self._context.clock()
        self._state = _BUSY
        context = self._context
        exchange: Exchange | GatedExchange | ContractAnswer | BodyKeyedExchange
        by_body = False
        if (dialect := route.key_dialect) is not None and not (by_body := dialect.needs_body(head)):
            head = dialect.keyed(head)
        self._request = head
        if by_body:
            assert dialect is not None
            make = partial(_exchange_of, context, self, route)
            exchange = self._exchange = BodyKeyedExchange(context, self, route, head, dialect, make)
        elif route.gate is not None and (gated := _gated(context, self, route, head)) is not None:
            exchange = self._exchange = gated
        elif context.tracer is None and route.shadow is None:
            exchange = self._exchange = Exchange(context, self, route, head, now)
        else:
            exchange = self._exchange = _exchange_of(context, self, route, head, now)
        if head.framing is NONE:
            self._ahead = rest
        elif head.framing is LENGTH and len(rest) == head.length:
            exchange.whole_body(rest)  # it came with its head: 1.2 µs less than piece by piece
        else:
            exchange.expect_body(now)
            self._received = 0
            self._state = _BODY
            if head.framing is CHUNKED:
                self._chunks = ChunkedReader(self._context.limits.head_bytes)
            else:
                self._remaining = head.length or 0
            if rest:
                self._read_body(rest)
                if self._exchange is None:
                    return
        exchange.begin(now)

    def _read_body(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        chunks = self._chunks
        if chunks is None:
            remaining = self._remaining = self._remaining - len(data)
            if remaining > 0:
                exchange.on_request_body(data)
                return
            self._state = _BUSY
            if remaining < 0:
                self._read_ahead(data[remaining:])
                data = data[:remaining]
            exchange.on_request_body(data)
            exchange.on_request_end(b"")
            return
        try:
            payload = chunks.feed(data)
            self._received += len(payload)
            limit = self._context.limits.body_bytes
            if limit is not None and self._received > limit:
                raise Malformed(413, "body_too_large", f"the body is larger than {limit} bytes")
        except Malformed as error:
            self._context.rejections[error.reason] += 1
            exchange.on_request_malformed(error)
            return
        if payload:
            exchange.on_request_body(payload)
        if chunks.done:
            self._chunks = None
            self._state = _BUSY
            self._read_ahead(chunks.rest)
            exchange.on_request_end(chunks.trailers)

    def _read_ahead(self, data: bytes) -> None:
        if data:
            self._ahead += data
            self.read_gate.hold(ReadGate.AHEAD)

    def _go_on(self) -> None:
        """Read what came while the last exchange was under way."""
        if self._state != _BUSY or self._lost:
            return
        self._state = _HEAD
        # The reasons that held the last request back end with it: nothing would release them for the next one.
        self.read_gate.release(ReadGate.PEER | ReadGate.BUFFER)
        data, self._ahead = self._ahead, b""
        if data:
            self.data_received(data)
        if self._state == _HEAD:
            self.read_gate.release(ReadGate.AHEAD)
        elif self._state == _BODY:
            self.read_gate.release(ReadGate.AHEAD)  # for the rest of a body that began while another answer was awaited

    def _reject(self, error: Malformed) -> None:
        """Answer once, close, parse nothing more."""
        self._context.rejections[error.reason] += 1
        self._state = _BUSY
        if not self.transport.is_closing():
            self.write(problem_response(error.status, error.reason, error.detail, to_head=error.to_head, close=True))
            self._close(linger=True)

    def _misdirect(self, error: Misdirected, head: RequestHead) -> None:
        self._context.misdirect(error, head)
        close = not head.keep_alive or bool(head.framing) or self._context.draining
        self._ahead = self._reader.rest
        keep = b"" if close or head.minor else b"Connection: keep-alive\r\n"
        self.write(
            problem_response(error.status, error.reason, error.detail, added=keep, to_head=head.to_head, close=close)
        )
        if close:
            self._close(linger=bool(head.framing))
        else:
            self._over(self._context.clock())

    def _connect(self, head: RequestHead) -> None:
        rest = self._reader.rest
        if head.framing is not NONE:
            self._reject(Malformed(400, "connect_target", "a CONNECT request has no body"))
            return
        try:
            if head.host:
                parse_authority(head.host)
        except Malformed as error:
            self._reject(error)
            return
        if not self._port.connect:
            self._state = _BUSY
            self.write(
                problem_response(405, "connect_refused", "CONNECT is refused by policy", added=_ALLOW, close=True)
            )
            self._close(linger=True)
            return
        self._state = _BUSY
        self._ahead = rest
        self.timer.disarm()
        self._opening = self._context.loop.create_task(self._open_tunnel(head))

    async def _open_tunnel(self, head: RequestHead) -> None:
        try:
            other = await connect_tunnel(self._context, head.target, self._port.router.check_tunnel)
        except Malformed as error:
            self._reject(error)
            return
        except Misdirected as error:
            self._context.misdirect(error, head)
            if not self.transport.is_closing():
                self.write(problem_response(error.status, error.reason, error.detail, close=True))
                self._close(linger=True)
            return
        if self._lost or self.transport.is_closing():
            other.abort()
            return
        self._context.tunnels += 1
        self.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ahead, self._ahead = self._ahead, b""
        self._state = _OTHER
        self._leave_to(Tunnel(self._context, self.transport, other, self._leave), b"", ahead)

    def _leave_to(self, tunnel: Tunnel, early: bytes, ahead: bytes) -> None:
        self.timer.retire()
        self._reader.close()
        self.read_gate.release(ReadGate.AHEAD | ReadGate.PEER | ReadGate.BUFFER)
        self._tunnel = tunnel
        tunnel.start(early, ahead)

    def _leave(self) -> None:
        self._context.connections -= 1
        self._port.left(self)

    def _close(self, *, linger: bool = False) -> None:
        """Close after the answer; a client that may still be sending gets time to read it first (RFC 9112 §9.6)."""
        if self.transport.is_closing():
            return
        if linger or self._state == _BODY or self._ahead:
            self._state = _LINGERING
            self._ahead = b""
            self.read_gate.release(ReadGate.AHEAD | ReadGate.PEER | ReadGate.BUFFER)
            if self.transport.can_write_eof():  # in TLS there is no saying so without closing
                self.transport.write_eof()
            self.timer.arm(self._context.clock() + _LINGER)
        else:
            self._state = _OTHER
            self.transport.close()
            self.timer.arm(self._context.clock() + self._context.limits.idle_timeout)  # for who never reads the rest

    def _on_timer(self, now: float) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.on_timer(now)
        elif self._state == _HEAD:
            if self._reader.begun:
                self._reject(Malformed(408, "head_timeout", "the head did not come in time"))
            else:
                self.transport.close()
        elif self._state != _LINGERING and self.taking():
            self.timer.arm(now + self._context.limits.idle_timeout)
        else:
            self.transport.abort()


def _gated(
    context: ProxyContext, writer: "Downstream", route: Route, head: RequestHead
) -> GatedExchange | ContractAnswer | None:
    """The exchange of a request under the Idempotency-Key contract; None for all others."""
    gate = route.gate
    assert gate is not None
    if head.target == CONTRACT_PATH and head.method in (b"GET", b"HEAD"):
        return ContractAnswer(writer, head, gate)
    keyed = gate.route_of(head.method, head.target)
    if keyed is None:
        return None
    head, observer = _observed(context, route, head)
    return GatedExchange(context, writer, route, head, gate, keyed, observer)


def _exchange_of(context: ProxyContext, writer: "Downstream", route: Route, head: RequestHead, now: float) -> Exchange:
    head, observer = _observed(context, route, head)
    return Exchange(context, writer, route, head, now, observer)


def _observed(context: ProxyContext, route: Route, head: RequestHead) -> tuple[RequestHead, ExchangeObserver | None]:
    """The head to be sent, and the observer of the exchange: a trace, a dry run, both or None."""
    observer: ExchangeObserver | None = None
    if context.tracer is not None and (follow := traced(context, context.tracer, route.name, head)) is not None:
        head, observer = follow
    if route.shadow is not None:
        dry_run = DryRun(route.shadow, head, route.shadow_calls)
        observer = dry_run if observer is None else PairOfObservers(observer, dry_run)
    return head, observer
