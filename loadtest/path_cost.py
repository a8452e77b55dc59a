"""`python -m loadtest.path_cost`: what one request costs in the proxy's own code, with the sockets taken away.

The way of every good request: the client's bytes in, the request's bytes out, the response's bytes in, the answer out,
on connections that are open. What is left of a request measured by `loadtest cost` is the event loop's and the
kernel's. The best of several repetitions, because a shared machine only ever makes it slower. No test asserts a time.
"""

import gc
import socket
from itertools import cycle
from timeit import repeat
from typing import Any

import uvloop

from loadtest.workload import WORKLOADS, Workload
from sidecar.engine.destination import Destination
from sidecar.engine.policy import ConcurrencyPolicy, DestinationPolicy
from sidecar.net import Endpoint
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.downstream import Downstream
from sidecar.proxy.pool import Pool
from sidecar.proxy.route import Route
from sidecar.proxy.router import Router
from sidecar.proxy.unlisted_hosts import UnlistedHosts
from sidecar.proxy.upstream import Upstream
from sidecar.wire.head import RequestHead
from sidecar.wire.recent import Recent
from sidecar.wire.writer import VIA

CONNECTIONS = 32
ROUNDS = 50
REPETITIONS = 80
ROWS = ("get", "varied", "post")
ROOM = ConcurrencyPolicy(initial=2 * CONNECTIONS)  # nobody waits, for no time passes in which a limit could grow


def microseconds(workload: Workload) -> float:
    """Per request, the loop around it and the copies of the bytes taken off."""
    wire = _Wire()
    clients, upstreams = _joined(wire)
    requests = cycle([memoryview(one) for one in workload.requests()])
    responses = cycle([memoryview(one) for one in workload.responses()])

    def exchanges() -> None:
        # As on real sockets, the bytes are new objects each time: what is remembered of an old one is of no use.
        for client in clients:
            client.data_received(bytes(next(requests)))
        for upstream in upstreams:
            upstream.data_received(bytes(next(responses)))

    def nothing() -> None:
        for _ in clients:
            bytes(next(requests))
        for _ in upstreams:
            bytes(next(responses))

    whole = min(repeat(exchanges, number=ROUNDS, repeat=REPETITIONS))
    empty = min(repeat(nothing, number=ROUNDS, repeat=REPETITIONS))
    assert all(client.idle for client in clients)  # each was answered, to the last
    wire.end()
    return (whole - empty) / ROUNDS / CONNECTIONS * 1e6


def _joined(wire: Any) -> tuple[list[Downstream], list[Upstream]]:
    """Clients and upstream connections of one destination, all open."""
    context = ProxyContext(uvloop.new_event_loop(), _Silent())
    context.via = VIA
    now = context.clock()
    destination = Destination("payments", DestinationPolicy(concurrency=ROOM), lambda: 0.5, now)
    pool = Pool(context, [Endpoint("http", "127.0.0.1", 9)], lambda: 0.5, _no_tls)
    route = Route("payments", destination, pool)
    unlisted = UnlistedHosts(context, DestinationPolicy(), lambda: 0.5, _no_tls)
    router = Router({"payments": route}, {"payments": "payments"}, unlisted, forward_unlisted=False)
    clients = [Downstream(context, _Port(router, route)) for _ in range(CONNECTIONS)]
    upstreams = [Upstream(context, pool.addresses[0]) for _ in range(CONNECTIONS)]
    for one in (*clients, *upstreams):
        one.connection_made(wire)
    for upstream in upstreams:
        pool.addresses[0].restore(upstream, now)
    return clients, upstreams


class _Wire:
    """A transport that sends nothing. It has a socket, on which nothing ever comes, for those who ask the kernel."""

    write = staticmethod(len)

    def __init__(self) -> None:
        self._socket, self._other = socket.socketpair()

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self._socket if name == "socket" else None

    def end(self) -> None:
        self._socket.close()
        self._other.close()


class _Port:
    """A listener without a socket."""

    connect = ingress = False

    def __init__(self, router: Router, route: Route) -> None:
        self.router = router
        self.route = route
        self.known: Recent[tuple[RequestHead, Route]] = Recent()

    def joined(self, downstream: Downstream) -> None:
        """Nobody counts."""

    left = joined


class _Silent:
    """Is told of exchanges, and of none here."""

    def record(self, record: Any) -> None:
        raise AssertionError(record)


def _no_tls() -> Any:
    raise AssertionError


if __name__ == "__main__":
    gc.disable()
    for name in ROWS:
        print(f"{microseconds(WORKLOADS[name]):.2f} µs per request of {name}: {WORKLOADS[name].title}")
