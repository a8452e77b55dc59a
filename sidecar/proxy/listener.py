"""A listening socket, and the connections that came in on it: never more than the limit."""

import asyncio
import errno
import socket
from asyncio import AbstractServer

from sidecar.governance.address import Address
from sidecar.proxy.downstream import Downstream
from sidecar.proxy.plane import Plane
from sidecar.proxy.router import Route, Router
from sidecar.wire.head import RequestHead
from sidecar.wire.recent import Recent

_BACKLOG = 1024


class PortTaken(OSError):
    """An address that can not be listened on; the message says which and why."""


def bind(address: Address) -> socket.socket:
    """A listening socket, not yet accepting. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
    except OSError as error:
        sock.close()
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise PortTaken(error.errno, f"can not listen on {address}: {reason}") from error
    return sock


class Listener:
    """One address. Over the limit of connections it stops accepting, and goes on when one has ended."""

    def __init__(
        self, plane: Plane, sock: socket.socket, router: Router, route: Route | None, *, connect: bool
    ) -> None:
        self._plane = plane
        self._sock = sock
        self._server: AbstractServer | None = None
        self._restart: asyncio.Task[None] | None = None
        self._downstreams: set[Downstream] = set()
        self._closed = False
        self.router = router
        self.route = route
        self.connect = connect
        self.known: Recent[tuple[RequestHead, Route]] = Recent()
        name = sock.getsockname()
        self.address = Address(name[0], name[1])

    def turn_to(self, router: Router, route: Route | None, *, connect: bool) -> None:
        """Route by another snapshot from now on."""
        self.router = router
        self.route = route
        self.connect = connect
        self.known.clear()

    async def start(self) -> None:
        """Accept connections."""
        self._server = await self._plane.loop.create_server(
            lambda: Downstream(self._plane, self), sock=self._sock.dup(), backlog=_BACKLOG
        )

    def joined(self, downstream: Downstream) -> None:
        """A connection was accepted."""
        self._downstreams.add(downstream)
        if len(self._downstreams) >= self._plane.limits.connections and self._server is not None:
            server, self._server = self._server, None
            server.close()  # this copy of the socket; the kernel goes on queueing on ours

    def left(self, downstream: Downstream) -> None:
        """A connection is gone."""
        self._downstreams.discard(downstream)
        if (
            self._server is None
            and not self._closed
            and self._restart is None
            and len(self._downstreams) < self._plane.limits.connections
        ):
            self._restart = self._plane.loop.create_task(self._accept_again())

    def close_idle(self) -> None:
        """Close the connections on which no request is under way."""
        for downstream in tuple(self._downstreams):
            downstream.close_if_idle()

    def close(self) -> None:
        """Stop listening, and break what is left."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        self._sock.close()
        for downstream in tuple(self._downstreams):
            downstream.transport.abort()

    async def _accept_again(self) -> None:
        try:
            await self.start()
        finally:
            self._restart = None
