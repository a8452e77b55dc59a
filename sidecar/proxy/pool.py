"""Connections to a destination's endpoints: kept alive, leased to one exchange at a time, opened when none is free."""

import asyncio
import ssl
from asyncio import Task
from collections.abc import Callable, Sequence
from typing import Final

import aiohappyeyeballs

from sidecar.governance.address import Endpoint
from sidecar.proxy.plane import Plane
from sidecar.proxy.resolver import Resolver
from sidecar.proxy.upstream import Lessee, Upstream

MAX_IDLE_SECONDS: Final = 30.0
_EJECTION: Final = 1.0
_MAX_EJECTION: Final = 30.0
_STAGGER: Final = 0.25  # RFC 8305 §5: the connection attempt delay


class LoopingBack(ConnectionError):
    """The endpoint is this sidecar itself."""


class Station:
    """One endpoint: its idle connections, what is in flight, and whether it is left alone for a while."""

    __slots__ = (
        "_faults",
        "_plane",
        "_resolver",
        "_tls",
        "down_until",
        "endpoint",
        "idle",
        "in_flight",
        "label",
        "open",
    )

    def __init__(self, plane: Plane, endpoint: Endpoint, tls: ssl.SSLContext | None) -> None:
        self._plane = plane
        self._tls = tls
        self._resolver = Resolver(plane.loop, endpoint.host, endpoint.port, plane.clock)
        self._faults = 0
        self.endpoint = endpoint
        self.label = f"{endpoint.host}:{endpoint.port}"
        self.idle: list[Upstream] = []
        self.in_flight = 0
        self.open = 0
        """Connections that are open, idle ones among them."""
        self.down_until = 0.0
        """Monotonic seconds; before then other endpoints are preferred."""

    def failed(self, now: float) -> None:
        """A connection could not be made: leave the endpoint alone, twice as long each time in a row."""
        self.down_until = now + min(_MAX_EJECTION, _EJECTION * 2**self._faults)
        self._faults = min(self._faults + 1, 10)

    def answered(self) -> None:
        """It answers again."""
        self._faults = 0
        self.down_until = 0.0

    def lease(self) -> Upstream | None:
        """An idle connection, the one used last first: the others may then grow old and be closed."""
        while self.idle:
            upstream = self.idle.pop()
            if upstream.usable:
                return upstream
        return None

    def restore(self, upstream: Upstream, now: float) -> None:
        """Take back a connection that is ready for another request."""
        upstream.idle_since = now
        self.idle.append(upstream)
        oldest = self.idle[0]
        if now - oldest.idle_since > MAX_IDLE_SECONDS:
            del self.idle[0]
            oldest.close()

    def forget(self, upstream: Upstream) -> None:
        """An idle connection is gone."""
        if upstream in self.idle:
            self.idle.remove(upstream)

    def close(self) -> None:
        """Close what is idle; what is leased closes when it comes back."""
        idle, self.idle = self.idle, []
        for upstream in idle:
            upstream.close()

    async def connect(self) -> Upstream:
        """A new connection, TLS included. Raises OSError (TimeoutError among them) or ssl.SSLError."""
        plane = self._plane
        endpoint = self.endpoint
        async with asyncio.timeout(plane.limits.connect_timeout):
            addresses = await self._resolver.addresses()
            for _family, _kind, _protocol, _name, address in addresses:
                if plane.own(str(address[0]), int(address[1])):
                    raise LoopingBack(f"{self.label} is this sidecar itself")
            sock = await aiohappyeyeballs.start_connection(
                addresses, happy_eyeballs_delay=_STAGGER if len(addresses) > 1 else None, loop=plane.loop
            )
            try:
                _, upstream = await plane.loop.create_connection(
                    lambda: Upstream(plane, self),
                    sock=sock,
                    ssl=self._tls,
                    server_hostname=endpoint.host if self._tls is not None else None,
                )
            except BaseException:
                sock.close()
                raise
        return upstream


class Pool:
    """The endpoints of one destination."""

    __slots__ = ("_plane", "_rand", "_tasks", "_tls", "stations")

    def __init__(
        self, plane: Plane, endpoints: Sequence[Endpoint], rand: Callable[[], float], tls: Callable[[], ssl.SSLContext]
    ) -> None:
        self._plane = plane
        self._rand = rand
        self._tls = tls
        self._tasks: set[Task[None]] = set()
        self.stations = [self._station(endpoint) for endpoint in endpoints]

    def adopt(self, endpoints: Sequence[Endpoint]) -> None:
        """Other endpoints from now on; the ones that stay keep their connections."""
        present = {station.endpoint: station for station in self.stations}
        self.stations = [
            present.pop(endpoint) if endpoint in present else self._station(endpoint) for endpoint in endpoints
        ]
        for station in present.values():
            station.close()

    def choose(self, tried: Station | None, now: float) -> Station:
        """The less busy of two endpoints drawn at random; if avoidable not the one just tried, nor one that is down."""
        stations = self.stations
        if len(stations) == 1:
            return stations[0]
        likely = [station for station in stations if station is not tried and station.down_until <= now]
        if not likely:
            likely = [station for station in stations if station.down_until <= now] or stations
        if len(likely) == 1:
            return likely[0]
        first = int(self._rand() * len(likely))
        second = int(self._rand() * (len(likely) - 1))
        if second >= first:
            second += 1
        one, other = likely[first], likely[second]
        return one if one.in_flight <= other.in_flight else other

    def connect(self, station: Station, lessee: Lessee) -> Task[None]:
        """Open a connection and hand it to `lessee`; cancel the task when nobody wants it any more."""
        task = self._plane.loop.create_task(self._connect(station, lessee))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """Close what is idle."""
        for station in self.stations:
            station.close()

    def counts(self) -> tuple[int, int]:
        """Connections in use, and idle ones."""
        idle = sum(len(station.idle) for station in self.stations)
        return sum(station.open for station in self.stations) - idle, idle

    def _station(self, endpoint: Endpoint) -> Station:
        return Station(self._plane, endpoint, self._tls() if endpoint.scheme == "https" else None)

    async def _connect(self, station: Station, lessee: Lessee) -> None:
        try:
            upstream = await station.connect()
        except (OSError, ssl.SSLError) as error:
            station.failed(self._plane.clock())
            lessee.on_connect_failure(error)
        else:
            station.answered()
            lessee.on_connected(upstream)
