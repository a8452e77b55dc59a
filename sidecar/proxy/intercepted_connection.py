"""A connection to another address that a rule redirected here: see `sidecar intercept`.

Its first bytes decide. HTTP/1 is read as on any other port, routed by Host and then by the address it was going to.
Everything else (TLS, HTTP/2 with prior knowledge, CONNECT to a proxy of the caller's, any other protocol) is passed on
to where it was going, counted and not governed. So is a caller that says nothing and waits to be spoken to.
"""

import asyncio
import os
import re
import socket
from asyncio import Transport
from typing import Final, Protocol, cast

from sidecar.net import Address
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.downstream import Downstream
from sidecar.proxy.original_destination import original_destination
from sidecar.proxy.replies import problem as problem_response
from sidecar.proxy.route import Route
from sidecar.proxy.router import Router
from sidecar.proxy.socket_owner import owner_of
from sidecar.proxy.tunnel import Tunnel, connect_tunnel
from sidecar.wire.authority import format_authority
from sidecar.wire.head import RequestHead
from sidecar.wire.malformed import Malformed
from sidecar.wire.misdirected import Misdirected
from sidecar.wire.recent import Recent

SILENCE_SECONDS: Final = 5.0
"""Without a byte for so long the caller waits for the other side's greeting, as SMTP and MySQL do."""

_REQUEST_LINE: Final = re.compile(rb"[A-Z][A-Z-]{0,31} ")
_BEGINNING: Final = re.compile(rb"[A-Z][A-Z-]{0,31}")
_NOT_OURS: Final = (b"PRI ", b"CONNECT ")
"""HTTP/2 with prior knowledge (RFC 9113 §3.3), and what is meant for another proxy."""
_TLS_HANDSHAKE: Final = b"\x16\x03"


class InterceptingListener(Protocol):
    """The listener, as far as intercepted connections know it."""

    router: Router
    connect: bool

    def joined(self, downstream: Downstream) -> None:
        """A connection speaks HTTP."""

    def left(self, downstream: Downstream) -> None:
        """That one is gone."""

    def arrived(self, handshake: "InterceptedConnection") -> None:
        """A connection was accepted."""

    def gone(self, handshake: "InterceptedConnection") -> None:
        """It speaks HTTP, or is gone."""


class InterceptedPort:
    """The listener as one intercepted connection sees it: what it does not name goes where it was going."""

    route: Route | None = None
    ingress = False

    def __init__(self, listener: InterceptingListener, original: Address) -> None:
        self._listener = listener
        self._original = original
        self._of = listener.router
        self._router = listener.router.intercepting(original)
        self._known: Recent[tuple[RequestHead, Route]] = Recent()
        """Of this connection alone: on others the same head may lead elsewhere."""

    @property
    def router(self) -> Router:
        """The listener's, for this connection."""
        self._follow()
        return self._router

    @property
    def known(self) -> Recent[tuple[RequestHead, Route]]:
        """Heads met lately on this connection."""
        self._follow()
        return self._known

    @property
    def connect(self) -> bool:
        """Whether CONNECT is tunnelled."""
        return self._listener.connect

    def joined(self, downstream: Downstream) -> None:
        """As of any other connection."""
        self._listener.joined(downstream)

    def left(self, downstream: Downstream) -> None:
        """As of any other connection."""
        self._listener.left(downstream)

    def _follow(self) -> None:
        """Route by the snapshot that is in force."""
        if self._listener.router is not self._of:
            self._of = self._listener.router
            self._router = self._of.intercepting(self._original)
            self._known.clear()


class InterceptedConnection(asyncio.Protocol):
    """A connection until it is known what it speaks; from then on a Downstream or a Tunnel has its transport."""

    __slots__ = ("_context", "_counted", "_data", "_listener", "_loop", "_opening", "_original", "_timer", "transport")

    transport: Transport

    def __init__(self, context: ProxyContext, listener: InterceptingListener) -> None:
        self._context = context
        self._listener = listener
        self._original: Address | None = None
        """The original destination; None where it would come back to the sidecar."""
        self._loop = "nothing redirected it: this port is for the rules of sidecar intercept"
        self._data = b""
        self._counted = False
        self._opening: asyncio.Task[None] | None = None
        self._timer = context.wheel.timer(self._on_silence)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection was accepted."""
        self.transport = cast("Transport", transport)
        self._context.connections += 1
        self._counted = True
        self._listener.arrived(self)
        sock = transport.get_extra_info("socket")
        original = self._original = original_destination(sock)
        if original is not None and _is_own(sock, original):
            self._original = None
            self._loop = f"the rules do not leave out uid {os.geteuid()}, as which this sidecar runs"
        self._timer.arm(self._context.clock() + SILENCE_SECONDS)

    def data_received(self, data: bytes) -> None:
        """The first bytes."""
        if self._opening is not None:
            self._data += data
            return
        data = self._data = self._data + data
        if _REQUEST_LINE.match(data) and not data.startswith(_NOT_OURS):
            self._serve()
        elif _BEGINNING.fullmatch(data) is None:
            self._pass_on("tls" if data.startswith(_TLS_HANDSHAKE) else "opaque")

    def eof_received(self) -> bool:
        """The caller will send no more."""
        return self._opening is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone."""
        del exc
        if self._opening is not None:
            self._opening.cancel()
        self._timer.retire()
        self._leave()

    def abort(self) -> None:
        """Break it: the sidecar ends."""
        self.transport.abort()

    def _serve(self) -> None:
        """HTTP/1: a client connection as any other."""
        context = self._context
        if self._original is None:
            self._refuse_loop()  # only now: an answer to what was not asked would be no answer to its caller
            return
        context.intercepted["http"] += 1
        self._timer.retire()
        data, self._data = self._data, b""
        downstream = Downstream(context, InterceptedPort(self._listener, self._original))
        self.transport.set_protocol(downstream)
        downstream.connection_made(self.transport)
        self._leave()
        downstream.data_received(data)

    def _pass_on(self, kind: str) -> None:
        """Something else: a tunnel to where it was going."""
        if self._original is None:
            self._context.intercepted["loop"] += 1
            self.transport.abort()
        elif not self._listener.connect:
            self._context.intercepted["refused"] += 1
            self.transport.abort()
        else:
            self._timer.disarm()
            self.transport.pause_reading()
            self._opening = self._context.loop.create_task(self._open_tunnel(self._original, kind))

    async def _open_tunnel(self, original: Address, kind: str) -> None:
        context = self._context
        try:
            target = format_authority(original.host, original.port)
            other = await connect_tunnel(context, target, self._listener.router.check_tunnel)
        except (Malformed, Misdirected, OSError, TimeoutError) as error:
            refused = isinstance(error, Misdirected) and error.reason == "connect_governed"
            context.intercepted["refused" if refused else kind] += 1
            self.transport.abort()
            return
        if self.transport.is_closing():
            other.abort()
            return
        context.intercepted[kind] += 1
        context.tunnels += 1
        self._timer.retire()
        data, self._data = self._data, b""
        Tunnel(context, self.transport, other, self._leave).start(b"", data)

    def _refuse_loop(self) -> None:
        self._context.intercepted["loop"] += 1
        self._timer.disarm()
        self.transport.write(
            problem_response(508, "loop", f"the connection would come back to this sidecar: {self._loop}", close=True)
        )
        self.transport.close()

    def _leave(self) -> None:
        if self._counted:
            self._counted = False
            self._context.connections -= 1
            self._listener.gone(self)

    def _on_silence(self, now: float) -> None:
        del now
        self._pass_on("silent" if not self._data else "opaque")


def _is_own(sock: socket.socket, original: Address) -> bool:
    """Whether it was this sidecar that opened the connection: it would be redirected to itself for ever."""
    peer = sock.getpeername()
    owner = owner_of(sock.family, (peer[0], peer[1]), (original.host, original.port))
    return owner is not None and owner == os.geteuid()
