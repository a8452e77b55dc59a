"""A listening socket, and the connections that came in on it: never more than the limit."""

import asyncio
import errno
import socket
from asyncio import AbstractServer
from heapq import nsmallest
from operator import attrgetter
from typing import Protocol

from sidecar.net import Address
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.downstream import Downstream
from sidecar.proxy.intercepted_connection import InterceptedConnection
from sidecar.proxy.open_files import exhausted
from sidecar.proxy.route import Route
from sidecar.proxy.router import Router
from sidecar.proxy.tls import ServerTls
from sidecar.proxy.tls_handshake import TlsHandshake
from sidecar.wire.head import RequestHead
from sidecar.wire.recent import Recent

_BACKLOG = 1024
_BURST = 64
"""Connections accepted in one turn of the loop, so that requests get theirs in a flood."""
_PAUSE_SECONDS = 0.1
_IDLE_SECONDS = 1.0
"""For which a connection has to be idle before a newcomer may have its place: who has just come is about to ask."""
_SPARED = 64
"""Connections found by one look for idle ones, which is at all of them (1 ms for 10,000)."""


_idle_until = attrgetter("idle_until")


class Arrival(Protocol):
    """A connection that is no Downstream yet."""

    def abort(self) -> None:
        """Break it."""


class PortTaken(OSError):
    """An address that can not be listened on; the message says which and why."""


class NoSuchAddress(PortTaken):
    """An address that this machine does not have, or a whole family of them: IPv6 where it is switched off."""


def bind(address: Address, *, both_families: bool = False) -> socket.socket:
    """A listening socket, not yet accepting; with `both_families` `[::]` takes connections of IPv4, too.

    Raises PortTaken, NoSuchAddress among them.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock: socket.socket | None = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not (both_families and address.unspecified)))
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
    """One address. Over the limit of connections it stops accepting, and goes on when one has ended.

    A newcomer at the limit gets the place of the connection that has been idle longest, so that callers who keep many
    open and use none keep no one out (HAProxy and nginx do so too).

    An asyncio server takes everything there is in the kernel's queue before it can be stopped. So it is used only while
    all of that would find room; from then on the listener accepts by itself, which costs 45 µs more a connection.
    """

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
        self.sock = sock
        self._downstreams: set[Downstream] = set()
        self._handshakes: set[Arrival] = set()
        self._joining: set[asyncio.Task[None]] = set()
        """One for each connection that was accepted and has not `joined` yet."""
        self._reading = self._closed = self._looking = False
        self._idle: list[Downstream] = []
        """The longest idle ones of the last look, the longest last."""
        self._server: AbstractServer | None = None
        self.router = router
        self.route = route
        self.connect = connect
        self.ingress = ingress
        self.tls = tls
        self.transparent = False
        """Whether connections come in on it that were on their way to others: see `sidecar intercept`."""
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
        if self.tls is not None and self._server is not None:
            self._accept_by_itself()

    async def start(self) -> None:
        """Accept connections."""
        if self.tls is None and self._roomy:
            self._server = await self._context.loop.create_server(
                self._protocol, sock=self.sock.dup(), backlog=_BACKLOG
            )
        else:
            self.resume()

    def joined(self, downstream: Downstream) -> None:
        """A connection was accepted, and has shaken hands where TLS is spoken."""
        self._downstreams.add(downstream)
        if self._server is not None and not self._roomy:
            self._accept_by_itself()

    def left(self, downstream: Downstream) -> None:
        """A connection is gone."""
        self._downstreams.discard(downstream)
        self._make_room()

    def arrived(self, handshake: Arrival) -> None:
        """A connection was accepted that has yet to shake hands, or to show what it speaks."""
        self._handshakes.add(handshake)

    def gone(self, handshake: Arrival) -> None:
        """It has, and is a Downstream now, or it is closed."""
        self._handshakes.discard(handshake)
        self._make_room()

    def resume(self) -> None:
        """Accept connections again, if there is room."""
        self._context.paused.discard(self)
        if self._closed or self._reading or self._server is not None:
            return
        if self._full and self._longest_idle() is None:
            self._pause()
            self._look_soon()
        else:
            self._reading = True
            self._context.loop.add_reader(self.sock, self._accept)

    def under_way(self) -> list[Downstream]:
        """The connections on which a request is under way."""
        return [downstream for downstream in self._downstreams if not downstream.idle]

    def holds(self, downstream: Downstream) -> bool:
        """Whether the connection is one of its own, and open."""
        return downstream in self._downstreams

    def close_idle(self) -> None:
        """Close the connections on which no request is under way."""
        for downstream in tuple(self._downstreams):
            downstream.close_if_idle()

    def close_tunnels(self) -> None:
        """End what goes on in both directions for as long as it likes: CONNECT, WebSocket."""
        for downstream in tuple(self._downstreams):
            downstream.close_tunnel()

    def stop_accepting(self) -> None:
        """Take no new connection. The kernel's queue is lost, unless another process has the socket open too."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        self._pause()
        self._context.paused.discard(self)
        self.sock.close()

    def retire(self) -> None:
        """Stop listening; what is under way is finished."""
        self.stop_accepting()
        self.close_idle()

    def close(self) -> None:
        """Stop listening, and break what is left."""
        self.retire()
        for handshake in tuple(self._handshakes):
            handshake.abort()
        for task in tuple(self._joining):
            task.cancel()
        for downstream in tuple(self._downstreams):
            downstream.transport.abort()

    def _accept_by_itself(self) -> None:
        """Let the asyncio server go with its copy of the socket; the kernel goes on queueing on ours."""
        assert self._server is not None
        self._server.close()
        self._server = None
        self.resume()

    def _accept(self) -> None:
        """The kernel has connections for us."""
        for accepted in range(_BURST):
            if self._full:
                self._pause()
                if not accepted and (idle := self._longest_idle()) is not None:  # for the first there surely is one
                    idle.close_if_idle()  # goes on when that has left
                self._look_soon()
                return
            try:
                sock, _ = self.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if exhausted(error):
                    self._pause()
                    self._context.loop.call_later(_PAUSE_SECONDS, self.resume)  # one that is closed makes room
                    return
                continue  # gone while it was queueing
            sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
            if self.tls is not None:
                TlsHandshake(self._context, self, self.tls, sock)
            else:
                task = self._context.loop.create_task(self._join(sock))
                self._joining.add(task)
                self._context.joining += 1
                task.add_done_callback(self._join_ended)

    def _longest_idle(self) -> Downstream | None:
        """The connection that a newcomer may have the place of."""
        before = self._context.clock() + self._context.limits.idle_timeout - _IDLE_SECONDS
        for fresh in (False, True):
            if fresh:
                idle = (downstream for downstream in self._downstreams if downstream.idle)
                self._idle = nsmallest(_SPARED, idle, key=_idle_until)[::-1]
            while self._idle:
                longest = self._idle[-1]
                if longest in self._downstreams and longest.idle and longest.idle_until <= before:
                    return longest
                self._idle.pop()
        return None

    def _look_soon(self) -> None:
        """While it is full: one of those that were busy may be idle by then."""
        if not self._looking and not self._closed:
            self._looking = True
            self._context.loop.call_later(_PAUSE_SECONDS, self._look)

    def _look(self) -> None:
        self._looking = False
        self.resume()

    def _protocol(self) -> Downstream | InterceptedConnection:
        """The protocol that a new connection begins with."""
        return InterceptedConnection(self._context, self) if self.transparent else Downstream(self._context, self)

    async def _join(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._context.loop.connect_accepted_socket(self._protocol, sock)
        except OSError:
            sock.close()
        except BaseException:
            sock.close()
            raise

    def _join_ended(self, task: asyncio.Task[None]) -> None:
        self._joining.discard(task)
        self._context.joining -= 1
        self._make_room()  # until now it was counted twice

    @property
    def _roomy(self) -> bool:
        """Whether there is room for all that the kernel may have for us, twice."""
        context = self._context
        most = min(context.limits.connections - len(self._downstreams), context.max_connections - context.connections)
        return most > 2 * _BACKLOG

    @property
    def _full(self) -> bool:
        """Whether there is no room on this listener, or among all."""
        here = len(self._downstreams) + len(self._handshakes) + len(self._joining)
        return here >= self._context.limits.connections or self._full_among_all

    @property
    def _full_among_all(self) -> bool:
        return self._context.connections + self._context.joining >= self._context.max_connections

    def _pause(self) -> None:
        """Accept nothing until `resume`, called as well when a connection leaves another listener."""
        if self._reading:
            self._reading = False
            self._context.loop.remove_reader(self.sock)
        if self._full_among_all and not self._closed:
            self._context.paused.add(self)

    def _make_room(self) -> None:
        """One has ended: the next one may be accepted here, or by a listener that has waited for room among all."""
        self._context.resume_paused()
        self.resume()
