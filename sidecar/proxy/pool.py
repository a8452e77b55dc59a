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
from sidecar.proxy.plane import Plane
from sidecar.proxy.resolver import Resolver, Strangers
from sidecar.proxy.timers import Timer
from sidecar.proxy.tls import SHUTDOWN_SECONDS, ClientTls, HandshakeFailed, failure_of
from sidecar.proxy.upstream import Lessee, Upstream

_STAGGER: Final = 0.25  # RFC 8305 §5: the connection attempt delay
_MAX_RACE: Final = 4
"""Addresses tried for one connection, one every _STAGGER."""


class LoopingBack(ConnectionError):
    """The endpoint is this sidecar itself."""


class Station(HealthRecord):
    """One address of an endpoint: its idle connections, what is in flight, and whether it is left alone for a while."""

    __slots__ = (
        "_closed",
        "_site",
        "_timer",
        "address",
        "endpoint",
        "idle",
        "label",
        "open",
    )

    def __init__(self, site: "Site", address: AddrInfoType | None, label: str) -> None:
        super().__init__()
        self._site = site
        self._timer = site.timer(self._on_timer)
        self._closed = False
        self.address = address
        """None while the endpoint's name has not been found yet."""
        self.endpoint = site.endpoint
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
            self._timer.arm(now + self._site.max_idle)

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
        return await self._site.connect(self)

    def _on_timer(self, now: float) -> None:
        """Close what has been idle for too long: the load has gone down, or gone."""
        max_idle = self._site.max_idle
        while self.idle and now - self.idle[0].idle_since >= max_idle:
            self.idle.pop(0).close()
        if self.idle:
            self._timer.arm(self.idle[0].idle_since + max_idle)


class Site:
    """One endpoint, and the stations its name stands for: each address is a candidate of its own.

    A name is looked up before it is needed and again when its answer is old, never while a request waits unless there
    is no answer at all. A look-up that fails changes nothing.
    """

    __slots__ = ("_changed", "_closed", "_plane", "_resolver", "_timer", "_tls", "endpoint", "stations")

    def __init__(
        self,
        plane: Plane,
        endpoint: Endpoint,
        tls: Callable[[], ClientTls],
        changed: Callable[[], None],
        strangers: Strangers | None,
    ) -> None:
        """`changed` is called when the stations have become others."""
        self._plane = plane
        self._tls = tls if endpoint.scheme == "https" else None
        self._changed = changed
        self._closed = False
        self.endpoint = endpoint
        self._resolver: Resolver | None = None
        self._timer = plane.wheel.timer(self._on_timer)
        fixed = _literal(endpoint)
        if fixed is None:
            self._resolver = Resolver(
                plane.loop,
                endpoint.host,
                endpoint.port,
                plane.clock,
                lambda: plane.limits.dns_ttl,
                self._resolved,
                strangers,
            )
        self.stations = [Station(self, fixed, self._label)]

    @property
    def max_idle(self) -> float:
        """Seconds for which a connection may wait for another request."""
        return self._plane.limits.upstream_idle_timeout

    def timer(self, fire: Callable[[float], None]) -> Timer:
        """A timer for one of its stations."""
        return self._plane.wheel.timer(fire)

    def refresh(self) -> None:
        """Look the name up if there is one and its answer is old. Does not wait."""
        if self._resolver is not None:
            self._resolver.refresh()

    def renew(self) -> None:
        """Forget all connections, whatever they were made with: TLS is spoken otherwise from now on."""
        for station in self.stations:
            station.close()
        self.stations = [Station(self, station.address, station.label) for station in self.stations]

    def close(self) -> None:
        """Close what is idle, look nothing up any more."""
        self._closed = True
        self._timer.disarm()
        for station in self.stations:
            station.close()

    async def connect(self, chosen: Station) -> Upstream:
        """A connection to `chosen`, or to another address when that one is slow (RFC 8305) or refuses."""
        plane = self._plane
        began = plane.clock()
        station = chosen
        shaking = False
        sock: socket.socket | None = None
        made: list[Upstream] = []

        def make() -> Upstream:
            made.append(Upstream(plane, station))
            return made[0]

        try:
            async with asyncio.timeout(plane.limits.connect_timeout):
                race = await self._race(chosen)
                sock = await aiohappyeyeballs.start_connection(
                    race, happy_eyeballs_delay=_STAGGER if len(race) > 1 else None, loop=plane.loop
                )
                station = self._station_of(sock, chosen)
                if station is not chosen:
                    chosen.record_connect_failure(plane.clock())
                if self._tls is None:
                    _, upstream = await plane.loop.create_connection(make, sock=sock)
                else:
                    shaking = True
                    tls = self._tls()
                    _, upstream = await plane.loop.create_connection(
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
            now = plane.clock()
            if isinstance(error, OSError) or now - began >= _STAGGER:
                station.record_connect_failure(
                    now
                )  # whoever lost patience: what takes so long is not the one to try next
            if shaking and isinstance(error, (OSError, ValueError)):
                raise HandshakeFailed(failure_of(error)) from error
            raise
        station.record_connection()
        return upstream

    @property
    def _label(self) -> str:
        return f"{self.endpoint.host}:{self.endpoint.port}"

    async def _race(self, chosen: Station) -> list[AddrInfoType]:
        """The addresses to try: the chosen one, then others, the other family first."""
        if self._resolver is None:
            assert chosen.address is not None
            race = [chosen.address]
        else:
            addresses = await self._resolver.addresses()
            first = chosen.address or addresses[0]
            others = [address for address in addresses if address[4] != first[4]]
            others.sort(key=lambda address: address[0] == first[0])
            race = [first, *others][:_MAX_RACE]
        for _family, _kind, _protocol, _name, address in race:
            if self._plane.own(str(address[0]), int(address[1])):
                raise LoopingBack(f"{self._label} is this sidecar itself")
        return race

    def _station_of(self, sock: socket.socket, chosen: Station) -> Station:
        """The station at the other end, for any of the addresses may have won."""
        if len(self.stations) == 1:
            return self.stations[0]
        peer = sock.getpeername()
        return next((s for s in self.stations if s.address is not None and s.address[4][:2] == peer[:2]), chosen)

    def _resolved(self) -> None:
        """The name was looked up: the stations become those of its addresses; the ones that stay keep their state."""
        resolver = self._resolver
        assert resolver is not None
        if self._closed:
            return
        self._timer.arm(resolver.until)
        present = {station.address[4]: station for station in self.stations if station.address is not None}
        wanted = {address[4]: address for address in resolver.known}
        if not wanted or present.keys() == wanted.keys():
            return
        several = len(wanted) > 1
        self.stations = [
            present.pop(key)
            if key in present
            else Station(self, address, f"{bracketed(str(key[0]))}:{key[1]}" if several else self._label)
            for key, address in wanted.items()
        ]
        for station in present.values():
            station.close()
        self._changed()

    def _on_timer(self, now: float) -> None:
        """The answer is old. Where nobody is connected nobody may ever ask again; who does has it looked up then."""
        del now
        if any(station.open for station in self.stations):
            self.refresh()


class Pool(P2CBalancer[Station]):
    """The endpoints of one destination."""

    __slots__ = ("_plane", "_sites", "_strangers", "_tasks", "_tls")

    def __init__(
        self,
        plane: Plane,
        endpoints: Sequence[Endpoint],
        rand: Callable[[], float],
        tls: Callable[[], ClientTls],
        *,
        strangers: Strangers | None = None,
    ) -> None:
        """`tls` says, whenever a connection to an https endpoint is made, how TLS is spoken to it.

        `strangers` as for Resolver: only of endpoints that a request has named.
        """
        super().__init__([], rand)
        self._plane = plane
        self._tls = tls
        self._strangers = strangers
        self._tasks: set[Task[None]] = set()
        self._sites = [self._site(endpoint) for endpoint in endpoints]
        self._gather()

    @property
    def endpoint(self) -> Endpoint:
        """The first of the endpoints."""
        return self._sites[0].endpoint

    def adopt(self, endpoints: Sequence[Endpoint]) -> None:
        """Other endpoints from now on; the ones that stay keep their connections."""
        present = {site.endpoint: site for site in self._sites}
        self._sites = [present.pop(endpoint) if endpoint in present else self._site(endpoint) for endpoint in endpoints]
        for site in present.values():
            site.close()
        self._gather()

    def renew(self) -> None:
        """TLS is spoken otherwise from now on: no connection made before serves another request."""
        for site in self._sites:
            site.renew()
        self._gather()

    def refresh(self) -> None:
        """Look up the names whose answers are old. Does not wait."""
        for site in self._sites:
            site.refresh()

    def connect(self, station: Station, lessee: Lessee) -> Task[None]:
        """Open a connection and hand it to `lessee`; cancel the task when nobody wants it any more."""
        station.in_flight += 1  # from now on: an endpoint that lets everybody wait for a connection is a busy one
        task = self._plane.loop.create_task(self._connect(station, lessee))
        self._tasks.add(task)
        task.add_done_callback(partial(self._connected, station))
        return task

    def close(self) -> None:
        """Close what is idle, and look nothing up any more."""
        for site in self._sites:
            site.close()

    def counts(self) -> tuple[int, int]:
        """Connections in use, and idle ones."""
        idle = sum(len(station.idle) for station in self.addresses)
        return sum(station.open for station in self.addresses) - idle, idle

    def _site(self, endpoint: Endpoint) -> Site:
        return Site(self._plane, endpoint, self._tls, self._gather, self._strangers)

    def _gather(self) -> None:
        self.addresses = [station for site in self._sites for station in site.stations]

    def _connected(self, station: Station, task: Task[None]) -> None:
        self._tasks.discard(task)
        station.in_flight -= 1

    async def _connect(self, station: Station, lessee: Lessee) -> None:
        try:
            upstream = await station.connect()
        except OSError as error:
            lessee.on_connect_failure(error)
        else:
            lessee.on_connected(upstream)


def _literal(endpoint: Endpoint) -> AddrInfoType | None:
    """Where to connect when the endpoint's host is an address already; None when it is a name."""
    try:
        version = ip_address(endpoint.host).version
    except ValueError:
        return None
    if version == 4:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (endpoint.host, endpoint.port)
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (endpoint.host, endpoint.port, 0, 0)
