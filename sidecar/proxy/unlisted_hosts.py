"""Hosts that no destination names: routes made as they are met, their state bounded in number and never none.

A host has a breaker, a limit and a budget of its own as long as there is room for it, and all that find none have one
of each together. Every retry is paid for twice, by the host's budget and by one over all unlisted hosts: one server
under a thousand names is not sent more retries than under one.
"""

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final, TypeAlias

from msgspec.structs import replace

from sidecar.engine.breaker import BreakerState
from sidecar.engine.budget import NestedBudget, RetryBudget
from sidecar.engine.destination import UNLISTED, Destination
from sidecar.engine.policy import BudgetPolicy, DestinationPolicy
from sidecar.engine.tally import Tally
from sidecar.net import Endpoint, canonical_host
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.pool import Pool
from sidecar.proxy.route import Role, Route
from sidecar.proxy.tls import ClientTls
from sidecar.wire.misdirected import Misdirected

MAX_HOSTS: Final = 256
"""Hosts with a state of their own; and again as many, with connections of their own, that share one."""
_MAX_LOOK: Final = 8
"""Hosts used longest ago that are looked at when room is needed: a request costs the same however many there are."""
_WINDOW_SECONDS: Final = 10.0

_Key: TypeAlias = tuple[str, str, int]


class UnlistedHosts:
    """Routes by scheme, host and port. Survives reloads.

    `policy` is that of every one of them; `tls` says, whenever a connection to one is made, how TLS is spoken to it.
    """

    def __init__(
        self,
        context: ProxyContext,
        policy: DestinationPolicy,
        rand: Callable[[], float],
        tls: Callable[[], ClientTls],
    ) -> None:
        self._context = context
        self._policy = policy
        self._rand = rand
        self._tls = tls
        self._own: OrderedDict[_Key, Route] = OrderedDict()
        self._sharing: OrderedDict[_Key, Route] = OrderedDict()
        self.tally = Tally()
        """Of all of them together."""
        now = context.clock()
        self._budget = RetryBudget(_over_all(policy), now)
        whole = Destination(UNLISTED, policy, rand, now)
        self._requests, self._attempts = whole.requests_lately, whole.attempts_lately
        self._budget.requests = self._requests  # counted by each of them, for all
        self._shared = self._destination(now)

    @property
    def routes(self) -> list[Route]:
        """Those there are now, the one used last at the end of those with a state of their own."""
        return [*self._sharing.values(), *self._own.values()]

    @property
    def destination(self) -> Destination | None:
        """The one to show for all: with a breaker that is not closed, else used last. None before there is any."""
        now = self._context.clock()
        routes = self.routes
        for route in reversed(routes):
            if route.destination.breaker.state(now) is not BreakerState.CLOSED:
                return route.destination
        return routes[-1].destination if routes else None

    def adopt(self, policy: DestinationPolicy) -> None:
        """Another policy from now on; all state is kept."""
        now = self._context.clock()
        self._policy = policy
        self._budget.adopt(_over_all(policy), now)
        self._shared.adopt(policy, now)
        for route in self.routes:
            route.destination.adopt(policy, now)
            route.refresh()

    def close(self) -> None:
        """Close all idle connections."""
        for route in self.routes:
            route.pool.close()

    def find(self, scheme: str, host: str, port: int) -> Route:
        """The route to `host`. Raises Misdirected: Barred, or 503 where too many hosts are busy at once."""
        key = (scheme, canonical_host(host), port)
        route = self._own.get(key)
        if route is not None:
            self._own.move_to_end(key)
            return route
        self._context.guard.check(host, port)
        now = self._context.clock()
        endpoint = Endpoint(scheme, host, port)
        if self._has_room(now):
            sharing = self._sharing.pop(key, None)
            if sharing is not None:
                sharing.pool.close()
            route = self._own[key] = self._route(self._destination(now), endpoint)
            return route
        route = self._sharing.get(key)
        if route is None:
            self._make_room_for_sharing()
            route = self._sharing[key] = self._route(self._shared, endpoint)
        self._sharing.move_to_end(key)
        return route

    def _destination(self, now: float) -> Destination:
        destination = Destination(UNLISTED, self._policy, self._rand, now)
        destination.tally = self.tally
        destination.requests_lately = self._requests
        destination.attempts_lately = self._attempts
        destination.budget = NestedBudget(self._policy.budget, now, self._budget)
        destination.draining = self._context.draining
        return destination

    def _route(self, destination: Destination, endpoint: Endpoint) -> Route:
        context = self._context
        pool = Pool(context, (endpoint,), self._rand, self._tls, dns_lookup_limit=context.dns_lookup_limit)
        return Route(UNLISTED, destination, pool, Role.UNLISTED)

    def _has_room(self, now: float) -> bool:
        """Whether there is room for one more host's state: that of one that has nothing to tell any more is dropped."""
        if len(self._own) < MAX_HOSTS:
            return True
        for key, route in list(islice(self._own.items(), _MAX_LOOK)):
            if _forgettable(route.destination, now):
                del self._own[key]
                route.pool.close()
                return True
        return False

    def _make_room_for_sharing(self) -> None:
        if len(self._sharing) < MAX_HOSTS:
            return
        for key, route in self._sharing.items():
            if not route.pool.counts()[0]:
                del self._sharing[key]
                route.pool.close()
                return
        raise Misdirected(503, UNLISTED, "too many hosts that no destination names are busy at once")


def _over_all(policy: DestinationPolicy) -> BudgetPolicy:
    return replace(policy.budget, window=_WINDOW_SECONDS)


def _forgettable(destination: Destination, now: float) -> bool:
    """Whether a host that is met again can not be told from one that is met for the first time."""
    limiter, budget = destination.limiter, destination.budget
    return (
        not limiter.awaited
        and not limiter.waiting
        and not budget.requests_in_window(now)
        and not budget.retries_in_window(now)
        and destination.breaker.state(now) is BreakerState.CLOSED
    )
