"""Connections to a destination's endpoints: leased to exchanges as streams, kept alive, opened when none is free.

As many connections are opened as those who wait need: one each while a connection has a capacity of one stream, one for
all of them where it has more. A waiting exchange gets the first stream there is, of a new connection or of one that
became free meanwhile.
"""

import asyncio
import math
import socket
from asyncio import Task
from collections import deque
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Final

from aiohappyeyeballs import AddrInfoType

from sidecar.engine.endpoint import HealthRecord, P2CBalancer
from sidecar.net import Endpoint, bracketed, canonical_host
from sidecar.proxy.codecs import HTTP1, Codecs, NewConnection
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.happy_eyeballs import STAGGER_SECONDS, connect_first
from sidecar.proxy.open_files import OutOfFiles, exhausted
from sidecar.proxy.resolver import DnsLookupLimit, Resolver
from sidecar.proxy.stream import ConnectionWaiter, Stream, UpstreamConnection
from sidecar.proxy.timers import Timer
from sidecar.proxy.tls import SHUTDOWN_SECONDS, ClientTls, HandshakeFailed, failure_of

_CLOSED_WITHIN: Final = 0.005
"""Seconds in which the file of a connection is free after it was closed: a few turns of the loop."""


class UnfitConnection(ConnectionError):
    """A new connection broke the protocol before anything was asked on it."""


class PendingConnection:
    """An exchange's wait for a stream at one address."""

    __slots__ = ("_address", "fresh", "waiter")

    def __init__(self, address: "ResolvedAddress", waiter: ConnectionWaiter, *, fresh: bool) -> None:
        """`fresh`: on a new connection, for one that was kept turned out to be stale."""
        self._address = address
        self.waiter = waiter
        self.fresh = fresh

    def cancel(self) -> None:
        """The waiting exchange withdraws."""
        self._address.withdraw(self)


class ResolvedAddress(HealthRecord):
    """One address of an endpoint: its connections, what is in flight, and whether it is left alone for a while."""

    __slots__ = (
        "_capacity",
        "_closed",
        "_connects",
        "_endpoint_pool",
        "_timer",
        "_waiting",
        "endpoint",
        "info",
        "label",
        "open",
        "spare",
    )

    def __init__(self, endpoint_pool: "EndpointPool", info: AddrInfoType | None, label: str) -> None:
        super().__init__()
        self._endpoint_pool = endpoint_pool
        self._timer = endpoint_pool.timer(self._on_timer)
        self._closed = False
        self._capacity = 1  # of the connection made last: how many a new one is expected to serve
        self._waiting: deque[PendingConnection] = deque()
        self._connects: list[Task[None]] = []
        self.info = info
        """None while the endpoint's name has not been found yet."""
        self.endpoint = endpoint_pool.endpoint
        self.label = label
        self.spare: list[UpstreamConnection] = []
        """Connections that can lease a stream."""
        self.open = 0
        """Connections that are open."""

    def lease(self) -> Stream | None:
        """A stream of the connection used last, if any has capacity: the others may then grow old and be closed."""
        spare = self.spare
        while spare:
            connection = spare.pop()
            stream = connection.lease()
            if stream is not None:
                if connection.capacity > 1 and connection.has_capacity():
                    spare.append(connection)
                return stream
        return None

    def restore(self, connection: UpstreamConnection, now: float) -> None:
        """Take back a connection that has capacity again; waiting exchanges are served first."""
        if self._closed:
            if connection.idle():
                connection.close()
            return
        connection.idle_since = now
        if self._waiting:
            self._serve(connection, made=False)
            if not connection.has_capacity():
                return
        if connection.capacity > 1 and connection in self.spare:
            return
        self.spare.append(connection)
        if self._timer.at == math.inf:
            self._timer.arm(now + self._endpoint_pool.max_idle)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection is gone, or leases no more streams."""
        if connection in self.spare:
            self.spare.remove(connection)

    def close(self) -> None:
        """Close what is idle, and what is leased when it comes back."""
        self._closed = True
        self._timer.disarm()
        self.close_idle()

    def close_idle(self) -> None:
        """Close what is idle."""
        spare, self.spare = self.spare, []
        for connection in spare:
            if connection.idle():
                connection.close()
            elif not self._closed:
                self.spare.append(connection)

    def await_stream(self, waiter: ConnectionWaiter, *, fresh: bool) -> PendingConnection:
        """Wait for a stream, and open a connection unless enough are being opened."""
        pending = PendingConnection(self, waiter, fresh=fresh)
        self.in_flight += 1  # from now on: an endpoint whose connections are slow to open counts as busy
        self._waiting.append(pending)
        self._open_if_wanted()
        return pending

    def withdraw(self, pending: PendingConnection) -> None:
        """A waiting exchange has left."""
        if pending not in self._waiting:
            return
        self._waiting.remove(pending)
        self.in_flight -= 1
        if len(self._connects) > self._wanted:
            self._connects[-1].cancel()

    async def connect(self) -> UpstreamConnection:
        """A new connection, TLS included, to this address or to another of the same endpoint that was quicker.

        Raises OSError, TimeoutError and HandshakeFailed among them.
        """
        return await self._endpoint_pool.connect(self)

    @property
    def _wanted(self) -> int:
        """Connections that those who wait need."""
        return -(-len(self._waiting) // self._capacity)

    async def _connect(self) -> None:
        try:
            try:
                connection = await self.connect()
            except OutOfFiles:
                if not self._endpoint_pool.close_idle_connections():
                    raise
                await asyncio.sleep(_CLOSED_WITHIN)
                connection = await self.connect()
        except OSError as error:
            # Those that the others which are being opened can serve are theirs; this one's are told. Not those who come
            # while they are told, and for whom nothing has been tried.
            others = len(self._connects) - 1
            failed = []
            while self._waiting and self._wanted > others:
                failed.append(self._next(made=True))
            for pending in failed:
                pending.waiter.on_connect_failure(error)
            return
        self._capacity = connection.capacity
        self._serve(connection, made=True)
        if connection.has_capacity():
            connection.owner.restore(connection, self._endpoint_pool.now)

    def _open_if_wanted(self) -> None:
        if len(self._connects) < self._wanted:
            task = self._endpoint_pool.loop.create_task(self._connect())
            self._connects.append(task)
            task.add_done_callback(self._connect_ended)

    def _connect_ended(self, task: Task[None]) -> None:
        self._connects.remove(task)
        self._open_if_wanted()  # for those who came as it ended

    def _serve(self, connection: UpstreamConnection, *, made: bool) -> None:
        """Lease streams to those who wait. `made`: the connection is a new one."""
        while connection.has_capacity() and any(made or not pending.fresh for pending in self._waiting):
            stream = connection.lease()
            waiter = self._next(made=made).waiter
            if stream is None:
                waiter.on_connect_failure(UnfitConnection())
            else:
                waiter.on_connected(stream)

    def _next(self, *, made: bool) -> PendingConnection:
        """The one that waits longest, and takes a connection that was or was not made just now."""
        pending = next(pending for pending in self._waiting if made or not pending.fresh)
        self._waiting.remove(pending)
        self.in_flight -= 1
        return pending

    def _on_timer(self, now: float) -> None:
        """Close what has been idle for too long: the load has gone down, or gone."""
        max_idle = self._endpoint_pool.max_idle
        old = [one for one in self.spare if one.idle() and now - one.idle_since >= max_idle]
        self.spare = [one for one in self.spare if one not in old]
        for connection in old:
            connection.close()
        if self.spare:
            self._timer.arm(max(now + 1.0, min(one.idle_since for one in self.spare) + max_idle))


class EndpointPool:
    """One endpoint, and the addresses its name stands for, each of which is a candidate of its own.

    A name is looked up before it is needed and again when its answer is old, never while a request waits unless there
    is no answer at all. A look-up that fails changes nothing.
    """

    __slots__ = ("_changed", "_closed", "_codecs", "_context", "_resolver", "_timer", "_tls", "addresses", "endpoint")

    def __init__(
        self,
        context: ProxyContext,
        endpoint: Endpoint,
        tls: Callable[[], ClientTls],
        changed: Callable[[], None],
        dns_lookup_limit: DnsLookupLimit | None,
        codecs: Codecs,
    ) -> None:
        """`changed` is called when the addresses have changed."""
        self._context = context
        self._tls = tls if endpoint.scheme == "https" else None
        self._changed = changed
        self._codecs = codecs
        self._closed = False
        self.endpoint = endpoint
        self._resolver: Resolver | None = None
        self._timer = context.wheel.timer(self._on_timer)
        fixed = _literal(endpoint)
        if fixed is None:
            self._resolver = Resolver(
                context.loop,
                endpoint.host,
                endpoint.port,
                context.clock,
                lambda: context.limits.dns_ttl,
                self._resolved,
                dns_lookup_limit,
            )
        self.addresses = [ResolvedAddress(self, fixed, self._label)]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the connections."""
        return self._context.loop

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self._context.clock()

    def close_idle_connections(self) -> bool:
        """Close idle connections, of any destination. False when there are none."""
        return self._context.close_idle_connections()

    @property
    def max_idle(self) -> float:
        """Seconds for which a connection may wait for another request."""
        return self._context.limits.upstream_idle_timeout

    def timer(self, fire: Callable[[float], None]) -> Timer:
        """A timer for one of its addresses."""
        return self._context.wheel.timer(fire)

    def refresh(self) -> None:
        """Look the name up if there is one and its answer is old. Does not wait."""
        if self._resolver is not None:
            self._resolver.refresh()

    def renew(self) -> None:
        """Forget all connections, whatever they were made with: TLS is spoken otherwise from now on."""
        for address in self.addresses:
            address.close()
        self.addresses = [ResolvedAddress(self, address.info, address.label) for address in self.addresses]

    def close(self) -> None:
        """Close what is idle, look nothing up any more."""
        self._closed = True
        self._timer.disarm()
        for address in self.addresses:
            address.close()

    async def connect(self, chosen: ResolvedAddress) -> UpstreamConnection:
        """A connection to `chosen`, or to another address when that one is slow (RFC 8305) or refuses."""
        context = self._context
        began = context.clock()
        address = chosen
        shaking = False
        sock: socket.socket | None = None
        made: list[NewConnection] = []

        def make() -> asyncio.Protocol:
            made.append(self._codecs.connection(context, address, secure=self._tls is not None))
            return made[0].protocol

        try:
            async with asyncio.timeout(context.limits.connect_timeout):
                sock = await connect_first(await self._candidates(chosen), context.guard, context.loop)
                address = self._address_of(sock, chosen)
                if address is not chosen:
                    chosen.record_connect_failure(context.clock())
                if self._tls is None:
                    await context.loop.create_connection(make, sock=sock)
                else:
                    shaking = True
                    tls = self._tls()
                    await context.loop.create_connection(
                        make,
                        sock=sock,
                        ssl=tls.context,
                        server_hostname=tls.server_name or self.endpoint.host.rstrip("."),
                        ssl_shutdown_timeout=SHUTDOWN_SECONDS,
                    )
        except BaseException as error:
            if sock is not None:
                sock.close()
            for new in made:
                new.give_up()  # uvloop never tells a connection that was made while its maker was cancelled
            if exhausted(error):
                raise OutOfFiles from error
            now = context.clock()
            if isinstance(error, OSError) or now - began >= STAGGER_SECONDS:
                # Cancelled by a time-out as well: an address that takes so long is not the one to try next.
                address.record_connect_failure(now)
            if shaking and isinstance(error, (OSError, ValueError)):
                raise HandshakeFailed(failure_of(error)) from error
            raise
        address.record_connection()
        return made[0].connection

    @property
    def _label(self) -> str:
        return f"{self.endpoint.host}:{self.endpoint.port}"

    async def _candidates(self, chosen: ResolvedAddress) -> list[AddrInfoType]:
        """The addresses to try: the chosen one, then others, the other family first."""
        if self._resolver is None:
            assert chosen.info is not None
            return [chosen.info]
        addresses = await self._resolver.addresses()
        first = chosen.info or addresses[0]
        others = [info for info in addresses if info[4] != first[4]]
        others.sort(key=lambda info: info[0] == first[0])
        return [first, *others]

    def _address_of(self, sock: socket.socket, chosen: ResolvedAddress) -> ResolvedAddress:
        """The address that was connected to: any of them may have won the race."""
        if len(self.addresses) == 1:
            return self.addresses[0]
        peer = sock.getpeername()
        return next((s for s in self.addresses if s.info is not None and s.info[4][:2] == peer[:2]), chosen)

    def _resolved(self) -> None:
        """The name was looked up: replace the addresses by those of the answer; the ones that stay keep their state."""
        resolver = self._resolver
        assert resolver is not None
        if self._closed:
            return
        self._timer.arm(resolver.until)
        present = {address.info[4]: address for address in self.addresses if address.info is not None}
        wanted = {info[4]: info for info in resolver.known}
        if not wanted or present.keys() == wanted.keys():
            return
        several = len(wanted) > 1
        self.addresses = [
            present.pop(key)
            if key in present
            else ResolvedAddress(self, info, f"{bracketed(str(key[0]))}:{key[1]}" if several else self._label)
            for key, info in wanted.items()
        ]
        for address in present.values():
            address.close()
        self._changed()

    def _on_timer(self, now: float) -> None:
        """The answer is old. Without a connection it is dropped; the next request looks it up again."""
        del now
        if any(address.open for address in self.addresses):
            self.refresh()


class Pool(P2CBalancer[ResolvedAddress]):
    """The endpoints of one destination."""

    __slots__ = ("__weakref__", "_codecs", "_context", "_dns_lookup_limit", "_endpoint_pools", "_tls")

    def __init__(
        self,
        context: ProxyContext,
        endpoints: Sequence[Endpoint],
        rand: Callable[[], float],
        tls: Callable[[], ClientTls],
        *,
        dns_lookup_limit: DnsLookupLimit | None = None,
        codecs: Codecs = HTTP1,
    ) -> None:
        """`tls` says, whenever a connection to an https endpoint is made, how TLS is spoken to it.

        `dns_lookup_limit` as for Resolver: given for endpoints that a request has named.
        """
        super().__init__([], rand)
        self._context = context
        self._tls = tls
        self._dns_lookup_limit = dns_lookup_limit
        self._codecs = codecs
        self._endpoint_pools = [self._endpoint_pool(endpoint) for endpoint in endpoints]
        context.pools.add(self)
        self._gather()

    @property
    def endpoint(self) -> Endpoint:
        """The first of the endpoints."""
        return self._endpoint_pools[0].endpoint

    @property
    def sockets(self) -> frozenset[tuple[str, int]]:
        """The IP addresses and ports of all endpoints, as far as their names have been looked up."""
        found = (address.info[4] for address in self.addresses if address.info is not None)
        return frozenset((canonical_host(str(name[0])), int(name[1])) for name in found)

    def adopt(self, endpoints: Sequence[Endpoint]) -> None:
        """Other endpoints from now on; the ones that stay keep their connections."""
        present = {pool.endpoint: pool for pool in self._endpoint_pools}
        self._endpoint_pools = [
            present.pop(endpoint) if endpoint in present else self._endpoint_pool(endpoint) for endpoint in endpoints
        ]
        for endpoint_pool in present.values():
            endpoint_pool.close()
        self._gather()

    def renew(self) -> None:
        """TLS is spoken otherwise from now on: no connection made before serves another request."""
        for endpoint_pool in self._endpoint_pools:
            endpoint_pool.renew()
        self._gather()

    def refresh(self) -> None:
        """Look up the names whose answers are old. Does not wait."""
        for endpoint_pool in self._endpoint_pools:
            endpoint_pool.refresh()

    def connect(self, address: ResolvedAddress, waiter: ConnectionWaiter, *, fresh: bool = False) -> PendingConnection:
        """Give `waiter` the first stream there is at `address`; of a new connection if it has to be `fresh`."""
        return address.await_stream(waiter, fresh=fresh)

    def close(self) -> None:
        """Close what is idle, and look nothing up any more."""
        for endpoint_pool in self._endpoint_pools:
            endpoint_pool.close()

    def close_idle(self) -> None:
        """Close what is idle."""
        for address in self.addresses:
            address.close_idle()

    def counts(self) -> tuple[int, int]:
        """Connections in use, and idle ones."""
        idle = sum(connection.idle() for address in self.addresses for connection in address.spare)
        return sum(address.open for address in self.addresses) - idle, idle

    def _endpoint_pool(self, endpoint: Endpoint) -> EndpointPool:
        return EndpointPool(self._context, endpoint, self._tls, self._gather, self._dns_lookup_limit, self._codecs)

    def _gather(self) -> None:
        self.addresses = [address for endpoint_pool in self._endpoint_pools for address in endpoint_pool.addresses]


def _literal(endpoint: Endpoint) -> AddrInfoType | None:
    """The address to connect to when the endpoint's host is an address already; None when it is a name."""
    try:
        version = ip_address(endpoint.host).version
    except ValueError:
        return None
    if version == 4:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (endpoint.host, endpoint.port)
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (endpoint.host, endpoint.port, 0, 0)
