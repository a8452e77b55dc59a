"""A listening socket, and the connections that came in on it: never more than the limit."""

import asyncio
import errno
import socket
from asyncio import AbstractServer

from sidecar.net import Address
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.downstream import Downstream
from sidecar.proxy.route import Route
from sidecar.proxy.router import Router
from sidecar.proxy.tls import ServerTls
from sidecar.proxy.tls_handshake import TlsHandshake
from sidecar.wire.head import RequestHead
from sidecar.wire.recent import Recent

_BACKLOG = 1024
_BREATH = 0.1


class PortTaken(OSError):
    """An address that can not be listened on; the message says which and why."""


class NoSuchAddress(PortTaken):
    """An address that this machine does not have, or a whole family of them: IPv6 where it is switched off."""


def bind(address: Address) -> socket.socket:
    """A listening socket, not yet accepting. Raises PortTaken, NoSuchAddress among them."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock: socket.socket | None = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
    except OSError as error:
        if sock is not None:
            sock.close()
        kind = NoSuchAddress if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) else PortTaken
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise kind(error.errno, f"can not listen on {address}: {reason}") from error
    return sock


class Listener:
    """One address. Over the limit of connections it stops accepting, and goes on when one has ended."""

    def __init__(
        self,
        context: ProxyContext,
        sock: socket.socket,
        router: Router,
        route: Route | None,
        *,
        connect: bool,
        ingress: bool = False,
        tls: ServerTls | None = None,
    ) -> None:
        """On `ingress` the service is told who asked; with `tls` callers are spoken to in TLS."""
        self._context = context
        self._sock = sock
        self._server: AbstractServer | None = None
        self._restart: asyncio.Task[None] | None = None
        self._downstreams: set[Downstream] = set()
        self._handshakes: set[TlsHandshake] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._closed = False
        self.router = router
        self.route = route
        self.connect = connect
        self.ingress = ingress
        self.tls = tls
        self.known: Recent[tuple[RequestHead, Route]] = Recent()
        name = sock.getsockname()
        self.address = Address(name[0], name[1])

    def turn_to(
        self, router: Router, route: Route | None, *, connect: bool, ingress: bool = False, tls: ServerTls | None = None
    ) -> None:
        """Route by another snapshot from now on. An `ingress` speaks TLS with `tls`, and is no way out."""
        self.router = router
        self.route = route
        self.connect = connect and not ingress
        self.ingress = ingress
        self.tls = tls if ingress else None
        self.known.clear()

    async def start(self) -> None:
        """Accept connections."""
        if self.tls is not None:
            self._accepting = self._context.loop.create_task(self._accept())
            return
        self._server = await self._context.loop.create_server(
            lambda: Downstream(self._context, self), sock=self._sock.dup(), backlog=_BACKLOG
        )

    def joined(self, downstream: Downstream) -> None:
        """A connection was accepted."""
        self._downstreams.add(downstream)
        if self._full and self._server is not None:
            server, self._server = self._server, None
            server.close()  # this copy of the socket; the kernel goes on queueing on ours

    def left(self, downstream: Downstream) -> None:
        """A connection is gone."""
        self._downstreams.discard(downstream)
        if self._full:
            return
        self._room.set()
        if self._server is None and self._accepting is None and not self._closed and self._restart is None:
            self._restart = self._context.loop.create_task(self._accept_again())

    def arrived(self, handshake: TlsHandshake) -> None:
        """A connection was accepted that has yet to shake hands."""
        self._handshakes.add(handshake)

    def gone(self, handshake: TlsHandshake) -> None:
        """It has, and is a Downstream now, or it is closed."""
        self._handshakes.discard(handshake)
        if not self._full:
            self._room.set()

    def close_idle(self) -> None:
        """Close the connections on which no request is under way."""
        for downstream in tuple(self._downstreams):
            downstream.close_if_idle()

    def retire(self) -> None:
        """Stop listening; what is under way is finished."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        if self._accepting is not None:
            self._accepting.cancel()
        self._sock.close()
        self.close_idle()

    def close(self) -> None:
        """Stop listening, and break what is left."""
        self.retire()
        for handshake in tuple(self._handshakes):
            handshake.abort()
        for downstream in tuple(self._downstreams):
            downstream.transport.abort()

    @property
    def _full(self) -> bool:
        return len(self._downstreams) + len(self._handshakes) >= self._context.limits.connections

    async def _accept(self) -> None:
        """Take connections that TLS is spoken on; each shows the certificate that is in use when it comes."""
        loop = self._context.loop
        while True:
            if self._full:
                self._room.clear()
                await self._room.wait()
                continue
            try:
                sock, _ = await loop.sock_accept(self._sock)
            except OSError:
                if self._closed:
                    return
                await asyncio.sleep(_BREATH)  # out of files, most likely: one that is closed makes room
                continue
            if self.tls is None:
                sock.close()
            else:
                TlsHandshake(self._context, self, self.tls, sock)

    async def _accept_again(self) -> None:
        try:
            if not self._closed:
                await self.start()
        finally:
            self._restart = None
