"""Bytes both ways and no questions: CONNECT, and what follows a 101."""

import asyncio
import socket
from asyncio import Transport
from collections.abc import Callable
from typing import cast

from sidecar.proxy.context import ProxyContext
from sidecar.proxy.happy_eyeballs import connect_first
from sidecar.proxy.open_files import OutOfFiles, exhausted
from sidecar.proxy.read_gate import ReadGate
from sidecar.proxy.resolver import Resolver
from sidecar.wire.authority import parse_authority
from sidecar.wire.malformed import Malformed
from sidecar.wire.misdirected import Misdirected


class _Side(asyncio.Protocol):
    """One of the two connections; what it reads, the other writes."""

    __slots__ = ("_tunnel", "finished", "other", "read_gate")

    other: "_Side"

    def __init__(self, tunnel: "Tunnel", transport: Transport) -> None:
        self._tunnel = tunnel
        self.read_gate = ReadGate(transport)
        self.finished = False

    @property
    def transport(self) -> Transport:
        """The connection."""
        return self.read_gate.transport

    def data_received(self, data: bytes) -> None:
        self._tunnel.moved()
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.finished = True
        transport = self.other.transport
        if self.other.finished or transport.is_closing() or not transport.can_write_eof():
            return False
        transport.write_eof()
        return True

    def pause_writing(self) -> None:
        self.other.read_gate.hold(ReadGate.PEER)

    def resume_writing(self) -> None:
        self.other.read_gate.release(ReadGate.PEER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._tunnel.ended(self.other, broken=exc is not None)


class Tunnel:
    """Two connections joined until either ends or nothing has moved for `limits.tunnel_idle_timeout`."""

    __slots__ = ("_context", "_done", "_idle", "_open", "_sides", "_timer")

    def __init__(self, context: ProxyContext, one: Transport, other: Transport, done: Callable[[], None]) -> None:
        """`done` is called once, when it has ended."""
        self._context = context
        self._idle = context.limits.tunnel_idle_timeout
        self._sides = (_Side(self, one), _Side(self, other))
        self._sides[0].other, self._sides[1].other = self._sides[1], self._sides[0]
        self._timer = context.wheel.timer(self._on_idle)
        self._open = True
        self._done = done

    def start(self, to_one: bytes, to_other: bytes) -> None:
        """Take over both transports; first pass on the bytes that came early."""
        one, other = self._sides
        self._context.busy += 1
        self.moved()
        for side in self._sides:
            side.transport.set_protocol(side)
        if to_one:
            one.transport.write(to_one)
        if to_other:
            other.transport.write(to_other)
        for side in self._sides:
            if side.transport.is_closing():
                self.ended(side.other, broken=True)
                return
            if not side.transport.is_reading():
                side.transport.resume_reading()

    def close(self) -> None:
        """End it in both directions, after what was read has been passed on."""
        for side in self._sides:
            if not side.transport.is_closing():
                side.transport.close()

    def moved(self) -> None:
        """Something passed."""
        self._timer.arm(self._context.clock() + self._idle)

    def ended(self, remaining: _Side, *, broken: bool) -> None:
        """One side is gone; the other follows."""
        if self._open:
            self._open = False
            self._context.busy -= 1
            self._timer.retire()
            self._done()
        if not remaining.transport.is_closing():
            if broken:
                remaining.transport.abort()
            else:
                remaining.transport.close()

    def _on_idle(self, now: float) -> None:
        del now
        for side in self._sides:
            side.transport.abort()


async def connect_tunnel(
    context: ProxyContext, target: bytes, check: Callable[[str, int], None] | None = None
) -> Transport:
    """Open the far side of a CONNECT. Raises Malformed for a bad target, Misdirected when it can not be had.

    `check` raises Misdirected for a host and port that are not tunnelled to, by name and by each of its addresses.
    """
    try:
        host, port = parse_authority(target)
    except Malformed as error:
        raise Malformed(400, "connect_target", f"of the target of CONNECT, {error.detail}") from None
    if port is None:
        raise Malformed(400, "connect_target", "the target of CONNECT is not host:port")
    context.guard.check(host, port)
    if check is not None:
        check(host, port)
    sock: socket.socket | None = None
    try:
        async with asyncio.timeout(context.limits.connect_timeout):
            resolver = Resolver(context.loop, host, port, context.clock, dns_lookup_limit=context.dns_lookup_limit)
            addresses = await resolver.addresses()
            if check is not None:
                for *_, address in addresses:
                    check(str(address[0]), int(address[1]))
            sock = await connect_first(addresses, context.guard, context.loop)
            transport, _ = await context.loop.create_connection(_Pending, sock=sock)
    except BaseException as error:
        if sock is not None:
            sock.close()
        if isinstance(error, Misdirected) or not isinstance(error, OSError):
            raise
        if exhausted(error):
            raise OutOfFiles from error
        raise Misdirected(502, "connect_failure", "no connection to the target could be made") from error
    return transport


class _Pending(asyncio.Protocol):
    """Reads nothing until the tunnel takes over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("Transport", transport).pause_reading()
