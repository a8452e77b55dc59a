"""Which destination a request is for: by the port it came in on, by its absolute target, or by its Host."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from sidecar.engine.destination import Destination
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.shadow import Shadow
from sidecar.engine.tally import Tally
from sidecar.net import Endpoint
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.pool import Pool
from sidecar.proxy.tls import ClientTls
from sidecar.wire.authority import format_authority, parse_authority
from sidecar.wire.head import RequestHead
from sidecar.wire.malformed import Malformed
from sidecar.wire.writer import replace_host

UNLISTED: Final = "unlisted"
_MAX_UNLISTED: Final = 256
_STANDARD_PORTS: Final = {"http": 80, "https": 443}


class Misdirected(Exception):
    """A request that goes nowhere: 502 `unlisted`, or 508 `loop`."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


class Role(Enum):
    """The side of the service that a route is on."""

    EGRESS = "egress"
    """To a destination that the sidecar file names."""
    UNLISTED = "unlisted"
    """To a host that no destination names."""
    INGRESS = "ingress"
    """To the service itself: every Host is passed on as it came, the sidecar's own among them."""


class Route:
    """A destination as requests find it: its engine state, its connections, and the bytes that depend on both."""

    __slots__ = ("_idempotent", "authority", "destination", "name", "pool", "replay_bytes", "role", "shadow")

    def __init__(self, name: str, destination: Destination, pool: Pool, role: Role = Role.EGRESS) -> None:
        self.name = name
        self.destination = destination
        self.pool = pool
        self.role = role
        self.authority = b""
        """The Host that the destination knows itself by: its first endpoint's."""
        self._idempotent = frozenset[bytes]()
        self.replay_bytes = 0
        self.shadow: Shadow | None = None
        """What a candidate policy would decide; None unless there is a dry run."""
        self.refresh()

    def refresh(self) -> None:
        """Take over what follows from the destination's policy and endpoints."""
        first = self.pool.endpoint
        standard = _STANDARD_PORTS[first.scheme] == first.port
        self.authority = format_authority(first.host, None if standard else first.port)
        self.replay_bytes = self.destination.policy.retry.replay_buffer_bytes

    def repeatable_until(self, head: RequestHead, now: float) -> float:
        """The last instant at which this request may be sent again though it may have been executed."""
        return now + self.destination.policy.repeatable_for(head.method, keyed=head.keyed)


class Router:
    """All routes of a snapshot, and those of hosts that no destination names, made as they are met and bounded."""

    def __init__(
        self,
        context: ProxyContext,
        routes: Mapping[str, Route],
        hosts: Mapping[str, str],
        unlisted: DestinationPolicy,
        rand: Callable[[], float],
        tls: Callable[[], ClientTls],
        *,
        forward_unlisted: bool,
        tally: Tally,
    ) -> None:
        """`hosts` maps each lower-cased host to a route's name; `tally` counts for all unlisted hosts together."""
        self._context = context
        self._routes = dict(routes)
        self._hosts = {host.strip("[]"): self._routes[name] for host, name in hosts.items()}
        self._unlisted_policy = unlisted
        self._forward_unlisted = forward_unlisted
        self._rand = rand
        self._tls = tls
        self._tally = tally
        self._unlisted: OrderedDict[Endpoint, Route] = OrderedDict()

    @property
    def routes(self) -> Mapping[str, Route]:
        """The named routes."""
        return self._routes

    @property
    def unlisted(self) -> list[Route]:
        """The routes of unlisted hosts, the one used last at the end."""
        return list(self._unlisted.values())

    def route(self, head: RequestHead, own: Route | None) -> Route:
        """The route of a request, its `target` and `fields` rewritten as the next hop should see them.

        `own` is the destination whose port it came in on. Raises Misdirected, and Malformed for a bad target or Host.
        """
        target = head.target
        if target == b"*" and head.method != b"OPTIONS":
            raise Malformed(400, "bad_target", "only OPTIONS is asked of a server as a whole")
        if target.startswith(b"/") or target == b"*":
            if head.host:
                host, _port = parse_authority(head.host)
            elif own is None:
                raise Malformed(400, "host", "the request has no Host")
            else:
                host = ""
            if own is None:
                route = self._hosts.get(host)
                if route is None:
                    raise Misdirected(502, UNLISTED, "no destination has this host; name it in the sidecar file")
                if self._is_own_name(host):
                    head.fields = replace_host(head.fields, head.host, route.authority)
                return route
            if not host or (self._is_own_name(host) and own.role is not Role.INGRESS):
                head.fields = replace_host(head.fields, head.host, own.authority)
            return own
        return self._absolute(head, own)

    def adopt_unlisted(self, older: "Router") -> None:
        """Keep the state of unlisted hosts over a reload."""
        self._unlisted = older._unlisted  # noqa: SLF001 - the same class
        for route in self._unlisted.values():
            route.destination.adopt(self._unlisted_policy, self._context.clock())
            route.refresh()

    def close(self) -> None:
        """Close all idle connections."""
        for route in (*self._routes.values(), *self._unlisted.values()):
            route.pool.close()

    @staticmethod
    def _is_own_name(host: str) -> bool:
        """Whether a Host only says that the request went to the sidecar, and nothing that the destination knows."""
        return host in {"localhost", "::1"} or host.startswith("127.")

    def _absolute(self, head: RequestHead, own: Route | None) -> Route:
        scheme, separator, rest = head.target.partition(b"://")
        scheme = scheme.lower()
        if not separator or scheme not in (b"http", b"https"):
            raise Malformed(400, "bad_target", "the target is neither a path nor an http or https URL")
        ends = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
        end = min(ends) if ends else len(rest)
        authority, path = rest[:end], rest[end:]
        if not authority:
            raise Malformed(400, "bad_target", "the target names no host")
        host, port = parse_authority(authority)
        if head.host:
            parse_authority(head.host)  # though the target wins: what is nonsense is not passed over
        if not path:
            path = b"*" if head.method == b"OPTIONS" else b"/"
        elif path.startswith(b"?"):
            path = b"/" + path
        head.target = path
        if own is not None and self._is_own_name(host):
            authority = own.authority
        # RFC 9112 §3.2.2: the authority of the target wins, and Host is made equal to it.
        if head.host != authority:
            head.fields = replace_host(head.fields, head.host, authority)
            head.host = authority
        if own is not None:
            return own
        route = self._hosts.get(host)
        if route is not None:
            return route
        if not self._forward_unlisted:
            raise Misdirected(502, UNLISTED, "no destination has this host, and unlisted hosts are refused")
        number = port or (443 if scheme == b"https" else 80)
        if self._context.own(host, number):
            raise Misdirected(508, "loop", "the request would come back to this sidecar")
        return self._unlisted_route(Endpoint(scheme.decode("ascii"), host, number))

    def _unlisted_route(self, endpoint: Endpoint) -> Route:
        unlisted = self._unlisted
        route = unlisted.get(endpoint)
        if route is not None:
            unlisted.move_to_end(endpoint)
            return route
        if len(unlisted) >= _MAX_UNLISTED:
            for old, candidate in unlisted.items():
                if not candidate.destination.limiter.awaited and not candidate.destination.limiter.waiting:
                    del unlisted[old]
                    candidate.pool.close()
                    break
            else:
                raise Misdirected(503, UNLISTED, "too many hosts that no destination names are busy at once")
        destination = Destination(UNLISTED, self._unlisted_policy, self._rand, self._context.clock())
        destination.tally = self._tally
        route = Route(
            UNLISTED,
            destination,
            Pool(self._context, (endpoint,), self._rand, self._tls, dns_lookup_limit=self._context.dns_lookup_limit),
            Role.UNLISTED,
        )
        unlisted[endpoint] = route
        return route
