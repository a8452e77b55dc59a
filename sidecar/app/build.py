"""The data plane of a snapshot: its routes, their pools and engine state, and the listeners that lead to them.

State lives on from one snapshot to the next: a route that both have keeps its budget, breaker, counters, connections.
"""

import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from sidecar.app.listening_sockets import ListeningSockets
from sidecar.engine.destination import UNLISTED, Destination
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.shadow import Shadow
from sidecar.governance.documents.document import INGRESS_NAME
from sidecar.governance.documents.egress_keys import IdempotencyKeySettings
from sidecar.governance.policy.routes import RouteSnapshot
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.trust.certificates import CertificateStore
from sidecar.idempotency.gate import IngressGate
from sidecar.net import Address, Endpoint
from sidecar.proxy.call_routes import CallRoutes
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.downstream import Downstream
from sidecar.proxy.egress_guard import EgressGuard
from sidecar.proxy.key_dialect import dialect_of
from sidecar.proxy.listener import Listener, NoSuchAddress
from sidecar.proxy.pool import Pool
from sidecar.proxy.route import Role, Route
from sidecar.proxy.router import Router
from sidecar.proxy.tls_contexts import TlsContexts
from sidecar.proxy.unlisted_hosts import UnlistedHosts
from sidecar.wire.writer import VIA

NotListening = Callable[[Address, str], None]
"""Is told of an address that this machine does not have, and why."""

_ROLES: Final = {INGRESS_NAME: Role.INGRESS}


class _RouteSettings(Struct, frozen=True):
    """A route as a snapshot describes it."""

    name: str
    policy: DestinationPolicy
    endpoints: tuple[Endpoint, ...]
    listen: tuple[Address, ...]
    key: IdempotencyKeySettings | None = None
    routes: tuple[RouteSnapshot, ...] = ()

    @property
    def honouring(self) -> DestinationPolicy:
        """A policy of it that honours keys, the destination's or that of a route; the destination's where none does."""
        policies = (self.policy, *(route.policy for route in self.routes))
        return next((policy for policy in policies if policy.honours_keys), self.policy)

    @property
    def role(self) -> Role:
        return _ROLES.get(self.name, Role.EGRESS)


class RouteTable:
    """`routes` has a route for each destination and, where there is an ingress, the one to the service, by name."""

    def __init__(
        self,
        context: ProxyContext,
        certificates: CertificateStore,
        snapshot: Snapshot,
        gate: IngressGate | None = None,
    ) -> None:
        """`certificates` has the files that the snapshot names; `gate` keeps the contract of the service's routes."""
        self.gate = gate
        self.context = context
        self.routes: dict[str, Route] = {}
        self.listeners: dict[Address, Listener] = {}
        self._tls_contexts = TlsContexts(certificates)
        self._absent: set[Address] = set()
        """Addresses that this machine does not have, each left out beside one that it has."""
        self._control: tuple[Address, ...] = ()
        self.unlisted = UnlistedHosts(
            context, snapshot.unlisted.in_force(), random.random, lambda: self._tls_contexts.usual
        )
        self.router = self._build(snapshot)

    def adopt(self, snapshot: Snapshot) -> bool:
        """Route by another snapshot, in one step as far as requests can see. Whether it listens where that one says."""
        self.unlisted.adopt(snapshot.unlisted.in_force())
        self.router = self._build(snapshot)
        wanted = self._assign(snapshot)
        self.resolve()
        return wanted - self._absent == set(self.listeners)

    def resolve(self) -> None:
        """Look up the addresses of all endpoints."""
        for route in self.routes.values():
            route.pool.refresh()

    def listen(self, snapshot: Snapshot, sockets: ListeningSockets, not_listening: NotListening) -> None:
        """Bind every address, not yet accepting. Raises PortTaken, and binds nothing then."""
        for address, sock in self._bind(snapshot, sockets, not_listening).items():
            self.listeners[address] = Listener(self.context, sock, self.router, None, connect=False)
        self._assign(snapshot)

    def keep_away_from(self, control: Sequence[Address], snapshot: Snapshot) -> None:
        """From now on nothing is sent to where operators are listened to, unless the snapshot allows it."""
        self._control = tuple(control)
        self._guard(snapshot)

    def renew_tls(self, snapshot: Snapshot) -> None:
        """Use the certificates as they were read last; no connection that was made with others is used again."""
        for name in self._tls_contexts.follow(snapshot):
            if name in self.routes:
                self.routes[name].pool.renew()
        for listener in self.listeners.values():
            if listener.ingress:
                listener.tls = self._tls_contexts.server

    def shadow(self, candidate: Snapshot | None) -> None:
        """Let a candidate shadow what is in force from now on, its counts beginning anew; None: nothing does."""
        now = self.context.clock()
        for name, route in self.routes.items():
            settings = None if candidate is None else candidate.destinations.get(name)
            route.shadow, route.shadow_calls = route.observation, route.calls
            if settings is not None and not settings.policy.observe:
                route.shadow = Shadow(route.destination, settings.policy, random.random, now)
                described = ((each.name, each.match, each.policy) for each in settings.routes)
                route.shadow_calls = CallRoutes().adopted(described)

    @property
    def destinations(self) -> Mapping[str, Destination]:
        """The engine's state by name: also of one unlisted host, with the counts of all of them."""
        destinations = {name: route.destination for name, route in self.routes.items()}
        if (unlisted := self.unlisted.destination) is not None:
            destinations[UNLISTED] = unlisted
        return destinations

    def destination_sockets(self) -> Mapping[str, frozenset[tuple[str, int]]]:
        """The IP addresses and ports of each destination, as far as they are known."""
        return {name: route.pool.sockets for name, route in self.routes.items() if route.role is Role.EGRESS}

    def interception_ports(self) -> frozenset[int]:
        """The ports of listeners for intercepted connections."""
        return frozenset(each.address.port for each in self.listeners.values() if each.transparent)

    def every_route(self) -> list[Route]:
        """Those with a name, and those of unlisted hosts."""
        return [*self.routes.values(), *self.unlisted.routes]

    @property
    def sockets(self) -> dict[str, socket.socket]:
        """Its listening sockets, by the address that was asked for."""
        return {str(address): listener.sock for address, listener in self.listeners.items()}

    def under_way(self) -> list[Downstream]:
        """The callers' connections on which a request is under way."""
        return [downstream for listener in self.listeners.values() for downstream in listener.under_way()]

    def holds(self, downstream: Downstream) -> bool:
        """Whether the connection is still there."""
        return any(listener.holds(downstream) for listener in self.listeners.values())

    def stop_accepting(self) -> None:
        """Take no new connection: another process does."""
        for listener in self.listeners.values():
            listener.stop_accepting()

    def close_idle(self) -> None:
        """Close the callers' connections on which no request is under way."""
        for listener in self.listeners.values():
            listener.close_idle()

    def close_tunnels(self) -> None:
        """End the tunnels, each after what it has read."""
        for listener in self.listeners.values():
            listener.close_tunnels()

    def close(self) -> None:
        """Break what is left and free the ports."""
        for listener in self.listeners.values():
            listener.close()
        for route in self.every_route():
            route.pool.close()
        self.context.wheel.close()

    def _build(self, snapshot: Snapshot) -> Router:
        context = self.context
        context.limits = snapshot.limits
        context.answers.clear()
        context.via = VIA if snapshot.via else b""
        context.policy_version = snapshot.version
        context.sample = snapshot.access_log_sample
        spoken_otherwise = self._tls_contexts.follow(snapshot)
        before = self.routes
        self.routes = {
            settings.name: self._route(settings, before.get(settings.name), renew=settings.name in spoken_otherwise)
            for settings in _route_settings(snapshot)
        }
        for name in before.keys() - self.routes.keys():
            before[name].pool.close()
        if self.gate is not None and snapshot.ingress is not None:
            self.gate.routes = snapshot.ingress.routes
            self.gate.contract_version = snapshot.ingress.contract_version
            self.routes[INGRESS_NAME].gate = self.gate
        return Router(
            {name: route for name, route in self.routes.items() if route.role is Role.EGRESS},
            {host: name for name, destination in snapshot.destinations.items() for host in destination.hosts},
            self.unlisted,
            forward_unlisted=snapshot.egress.unlisted == "forward",
            tunnel_governed=snapshot.egress.connect == "tunnel",
        )

    def _route(self, settings: _RouteSettings, route: Route | None, *, renew: bool) -> Route:
        """The route of that name: as it is, under what the snapshot says of it, or a new one."""
        context = self.context
        now = context.clock()
        if route is None:
            destination = Destination(settings.name, settings.policy.in_force(), random.random, now)
            pool = Pool(context, settings.endpoints, random.random, partial(self._tls_contexts.client, settings.name))
            route = Route(settings.name, destination, pool, settings.role)
        else:
            route.destination.adopt(settings.policy.in_force(), now)
            route.pool.adopt(settings.endpoints)
            if renew:
                route.pool.renew()
            route.refresh()
        route.calls = route.calls.adopted((each.name, each.match, each.policy) for each in settings.routes)
        route.destination.failing |= frozenset().union(
            *(each.policy.in_force().retry.statuses for each in settings.routes)
        )
        self._observe(route, settings.policy, now)
        route.destination.draining = context.draining
        route.key_dialect = None if settings.key is None else dialect_of(settings.key, settings.honouring)
        return route

    def _observe(self, route: Route, policy: DestinationPolicy, now: float) -> None:
        """Count what a policy would do that is only observed; its counts go on while that stays so."""
        if not policy.observe:
            route.observation = None
        elif route.observation is None:
            route.observation = Shadow(route.destination, policy, random.random, now)
        else:
            route.observation.destination.adopt(policy, now)
        if route.observation is not None:
            statuses = (call.declared.retry.statuses for call in route.calls.routes if call.declared is not None)
            route.observation.destination.failing |= frozenset().union(*statuses)
        route.shadow, route.shadow_calls = route.observation, route.calls

    def _assign(self, snapshot: Snapshot) -> set[Address]:
        """Tell every listener what it is for; the addresses there should be."""
        transparent = snapshot.egress.transparent
        wanted: dict[Address, Route | None] = dict.fromkeys((*snapshot.egress.listen, *transparent))
        for settings in _route_settings(snapshot):
            wanted.update(dict.fromkeys(settings.listen, self.routes[settings.name]))
        for address in self.listeners.keys() - wanted.keys():
            self.listeners.pop(address).retire()
        connect = snapshot.egress.connect != "refuse"
        for address, listener in self.listeners.items():
            route = wanted[address]
            ingress = route is not None and route.role is Role.INGRESS
            listener.transparent = address in transparent
            listener.turn_to(self.router, route, connect=connect, ingress=ingress, tls=self._tls_contexts.server)
        self._guard(snapshot)
        return set(wanted)

    def _guard(self, snapshot: Snapshot) -> None:
        """Judge where requests may be sent by where there are listeners now."""
        listeners = self.listeners.values()
        self.context.guard = EgressGuard(
            outbound=[listener.address for listener in listeners if not listener.ingress],
            inbound=[listener.address for listener in listeners if listener.ingress],
            control=self._control,
            allowed=snapshot.egress.allow,
        )

    def _bind(
        self, snapshot: Snapshot, sockets: ListeningSockets, not_listening: NotListening
    ) -> dict[Address, socket.socket]:
        bound: dict[Address, socket.socket] = {}
        try:
            for settings in _route_settings(snapshot):
                self._bind_one_of(settings.listen, bound, sockets, not_listening)
            self._bind_one_of(snapshot.egress.listen, bound, sockets, not_listening)
            self._bind_one_of(snapshot.egress.transparent, bound, sockets, not_listening)
        except OSError:
            for sock in bound.values():
                sock.close()
            raise
        return bound

    def _bind_one_of(
        self,
        addresses: Sequence[Address],
        bound: dict[Address, socket.socket],
        sockets: ListeningSockets,
        not_listening: NotListening,
    ) -> None:
        """Bind all of these that are not `bound` yet, or, where the machine has no IPv6, those that are of IPv4."""
        for address in sorted(addresses, key=lambda address: ":" in address.host):
            if address in bound:
                continue
            try:
                bound[address] = sockets.bind(address)
            except NoSuchAddress as error:
                if ":" not in address.host or bound.keys().isdisjoint(addresses):
                    raise
                self._absent.add(address)
                not_listening(address, error.strerror or str(error))


def _route_settings(snapshot: Snapshot) -> Iterator[_RouteSettings]:
    for name, destination in snapshot.destinations.items():
        yield _RouteSettings(
            name, destination.policy, destination.endpoints, destination.listen, destination.key, destination.routes
        )
    if (ingress := snapshot.ingress) is not None:
        yield _RouteSettings(INGRESS_NAME, ingress.policy, (ingress.app,), (ingress.listen,))
