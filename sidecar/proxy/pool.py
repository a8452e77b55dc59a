"""Connections to a destination's endpoints: kept alive, leased to one exchange at a time, opened when none is free."""

import asyncio
import math
import socket
from asyncio import Task
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Final

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType

from sidecar.engine.endpoint import HealthRecord, P2CBalancer
from sidecar.net import Endpoint, bracketed
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.resolver import DnsLookupLimit, Resolver
from sidecar.proxy.timers import Timer
from sidecar.proxy.tls import SHUTDOWN_SECONDS, ClientTls, HandshakeFailed, failure_of
from sidecar.proxy.upstream import ResponseReceiver, Upstream

_STAGGER: Final = 0.25  # RFC 8305 §5: the connection attempt delay
_MAX_RACE: Final = 4
"""Addresses tried for one connection, one every _STAGGER."""


class ResolvedAddress(HealthRecord):
    """One address of an endpoint: its idle connections, what is in flight, and whether it is left alone for a while."""

    __slots__ = (
        "_closed",
        "_endpoint_pool",
        "_timer",
        "endpoint",
        "idle",
        "info",
        "label",
        "open",
    )

    def __init__(self, endpoint_pool: "EndpointPool", info: AddrInfoType | None, label: str) -> None:
        super().__init__()
        self._endpoint_pool = endpoint_pool
        self._timer = endpoint_pool.timer(self._on_timer)
        self._closed = False
        self.info = info
        """None while the endpoint's name has not been found yet."""
        self.endpoint = endpoint_pool.endpoint
        self.label = label
        self.idle: list[Upstream] = []
        self.open = 0
        """Connections that are open, idle ones among them."""

    def lease(self) -> Upstream | None:
        """An idle connection, the one used last first: the others may then grow old and be closed."""
        while self.idle:
            upstream = self.idle.pop()
            # Bytes that have arrived since the last answer would be taken for this one; an end would cost the request.
            if not (upstream.transport.is_closing() or upstream.unread(0)):
                return upstream
        return None

    def restore(self, upstream: Upstream, now: float) -> None:
        """Take back a connection that is ready for another request."""
        if self._closed:
            upstream.close()
            return
        upstream.idle_since = now
        self.idle.append(upstream)
        if self._timer.at == math.inf:
            self._timer.arm(now + self._endpoint_pool.max_idle)

    def forget(self, upstream: Upstream) -> None:
        """An idle connection is gone."""
        if upstream in self.idle:
            self.idle.remove(upstream)

    def close(self) -> None:
        """Close what is idle, and what is leased when it comes back."""
        self._closed = True
        self._timer.disarm()
        idle, self.idle = self.idle, []
        for upstream in idle:
            upstream.close()

    async def connect(self) -> Upstream:
        """A new connection, TLS included, to this address or to another of the same endpoint that was quicker.

        Raises OSError, TimeoutError and HandshakeFailed among them.
        """
        return await self._endpoint_pool.connect(self)

    def _on_timer(self, now: float) -> None:
        """Close what has been idle for too long: the load has gone down, or gone."""
        max_idle = self._endpoint_pool.max_idle
        while self.idle and now - self.idle[0].idle_since >= max_idle:
            self.idle.pop(0).close()
        if self.idle:
            self._timer.arm(self.idle[0].idle_since + max_idle)


class EndpointPool:
    """One endpoint, and the addresses its name stands for, each of which is a candidate of its own.

    A name is looked up before it is needed and again when its answer is old, never while a request waits unless there
    is no answer at all. A look-up that fails changes nothing.
    """

    __slots__ = ("_changed", "_closed", "_context", "_resolver", "_timer", "_tls", "addresses", "endpoint")

    def __init__(
        self,
        context: ProxyContext,
        endpoint: Endpoint,
        tls: Callable[[], ClientTls],
        changed: Callable[[], None],
        dns_lookup_limit: DnsLookupLimit | None,
    ) -> None:
        """`changed` is called when the addresses have changed."""
        self._context = context
        self._tls = tls if endpoint.scheme == "https" else None
        self._changed = changed
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

    async def connect(self, chosen: ResolvedAddress) -> Upstream:
        """A connection to `chosen`, or to another address when that one is slow (RFC 8305) or refuses."""
        context = self._context
        began = context.clock()
        address = chosen
        shaking = False
        sock: socket.socket | None = None
        made: list[Upstream] = []

        def make() -> Upstream:
            made.append(Upstream(context, address))
            return made[0]

        try:
            async with asyncio.timeout(context.limits.connect_timeout):
                race = await self._race(chosen)
                sock = await aiohappyeyeballs.start_connection(
                    race, happy_eyeballs_delay=_STAGGER if len(race) > 1 else None, loop=context.loop
                )
                context.guard.check_connected(sock)
                address = self._address_of(sock, chosen)
                if address is not chosen:
                    chosen.record_connect_failure(context.clock())
                if self._tls is None:
                    _, upstream = await context.loop.create_connection(make, sock=sock)
                else:
                    shaking = True
                    tls = self._tls()
                    _, upstream = await context.loop.create_connection(
                        make,
                        sock=sock,
                        ssl=tls.context,
                        server_hostname=tls.server_name or self.endpoint.host.rstrip("."),
                        ssl_shutdown_timeout=SHUTDOWN_SECONDS,
                    )
        except BaseException as error:
            if sock is not None:
                sock.close()
            for upstream in made:
                upstream.give_up()  # uvloop never tells a connection that was made while its maker was cancelled
            now = context.clock()
            if isinstance(error, OSError) or now - began >= _STAGGER:
                address.record_connect_failure(
                    now
                )  # whoever lost patience: what takes so long is not the one to try next
            if shaking and isinstance(error, (OSError, ValueError)):
                raise HandshakeFailed(failure_of(error)) from error
            raise
        address.record_connection()
        return upstream

    @property
    def _label(self) -> str:
        return f"{self.endpoint.host}:{self.endpoint.port}"

    async def _race(self, chosen: ResolvedAddress) -> list[AddrInfoType]:
        """The addresses to try: the chosen one, then others, the other family first."""
        if self._resolver is None:
            assert chosen.info is not None
            race = [chosen.info]
        else:
            addresses = await self._resolver.addresses()
            first = chosen.info or addresses[0]
            others = [info for info in addresses if info[4] != first[4]]
            others.sort(key=lambda info: info[0] == first[0])
            race = [first, *others][:_MAX_RACE]
        for _family, _kind, _protocol, _name, sockaddr in race:
            self._context.guard.check(str(sockaddr[0]), int(sockaddr[1]))
        return race

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
        """The answer is old. Where nobody is connected nobody may ever ask again; who does has it looked up then."""
        del now
        if any(address.open for address in self.addresses):
            self.refresh()


class Pool(P2CBalancer[ResolvedAddress]):
    """The endpoints of one destination."""

    __slots__ = ("_context", "_dns_lookup_limit", "_endpoint_pools", "_tasks", "_tls")

    def __init__(
        self,
        context: ProxyContext,
        endpoints: Sequence[Endpoint],
        rand: Callable[[], float],
        tls: Callable[[], ClientTls],
        *,
        dns_lookup_limit: DnsLookupLimit | None = None,
    ) -> None:
        """`tls` says, whenever a connection to an https endpoint is made, how TLS is spoken to it.

        `dns_lookup_limit` as for Resolver: given for endpoints that a request has named.
        """
        super().__init__([], rand)
        self._context = context
        self._tls = tls
        self._dns_lookup_limit = dns_lookup_limit
        self._tasks: set[Task[None]] = set()
        self._endpoint_pools = [self._endpoint_pool(endpoint) for endpoint in endpoints]
        self._gather()

    @property
    def endpoint(self) -> Endpoint:
        """The first of the endpoints."""
        return self._endpoint_pools[0].endpoint

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

    def connect(self, address: ResolvedAddress, receiver: ResponseReceiver) -> Task[None]:
        """Open a connection and hand it to `receiver`; cancel the task when nobody wants it any more."""
        address.in_flight += 1  # from now on: an endpoint that lets everybody wait for a connection is a busy one
        task = self._context.loop.create_task(self._connect(address, receiver))
        self._tasks.add(task)
        task.add_done_callback(partial(self._connected, address))
        return task

    def close(self) -> None:
        """Close what is idle, and look nothing up any more."""
        for endpoint_pool in self._endpoint_pools:
            endpoint_pool.close()

    def counts(self) -> tuple[int, int]:
        """Connections in use, and idle ones."""
        idle = sum(len(address.idle) for address in self.addresses)
        return sum(address.open for address in self.addresses) - idle, idle

    def _endpoint_pool(self, endpoint: Endpoint) -> EndpointPool:
        return EndpointPool(self._context, endpoint, self._tls, self._gather, self._dns_lookup_limit)

    def _gather(self) -> None:
        self.addresses = [address for endpoint_pool in self._endpoint_pools for address in endpoint_pool.addresses]

    def _connected(self, address: ResolvedAddress, task: Task[None]) -> None:
        self._tasks.discard(task)
        address.in_flight -= 1

    async def _connect(self, address: ResolvedAddress, receiver: ResponseReceiver) -> None:
        try:
            upstream = await address.connect()
        except OSError as error:
            receiver.on_connect_failure(error)
        else:
            receiver.on_connected(upstream)


def _literal(endpoint: Endpoint) -> AddrInfoType | None:
    """Where to connect when the endpoint's host is an address already; None when it is a name."""
    try:
        version = ip_address(endpoint.host).version
    except ValueError:
        return None
    if version == 4:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (endpoint.host, endpoint.port)
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (endpoint.host, endpoint.port, 0, 0)
