"""The choice of the destination of a request: by the port it came in on, by its absolute target, or by its Host."""

from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from typing import Final

from sidecar.engine.destination import UNLISTED
from sidecar.net import Address, canonical_host
from sidecar.proxy.host_table import HostTable
from sidecar.proxy.route import Role, Route
from sidecar.proxy.unlisted_hosts import UnlistedHosts
from sidecar.wire.authority import USUAL_BYTES, parse_authority
from sidecar.wire.head import RequestHead
from sidecar.wire.malformed import Malformed
from sidecar.wire.misdirected import Misdirected
from sidecar.wire.writer import replace_host

_STANDARD_PORTS: Final = {b"http": 80, b"https": 443}
_MAX_SHOWN: Final = 10
"""Known hosts that a refusal names."""
_MAX_SHOWN_CHARACTERS: Final = 64


class Router:
    """All routes of a snapshot, and beyond them those of hosts that no destination names."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        hosts: Mapping[str, str],
        unlisted: UnlistedHosts,
        *,
        forward_unlisted: bool,
        tunnel_governed: bool = True,
    ) -> None:
        """`hosts` maps each host, with a port or for any, to a route's name.

        `tunnel_governed`: whether a CONNECT to what a destination names is tunnelled.
        """
        self._routes = dict(routes)
        self._hosts = HostTable({host: self._routes[name] for host, name in hosts.items()})
        self._unlisted = unlisted
        self._forward_unlisted = forward_unlisted
        self._tunnel_governed = tunnel_governed
        self._original: Address | None = None

    @property
    def routes(self) -> Mapping[str, Route]:
        """The named routes."""
        return self._routes

    def route(self, head: RequestHead, own: Route | None) -> Route:
        """The route of a request, its `target` and `fields` rewritten as the next hop should see them.

        `own` is the destination whose port it came in on. Raises Misdirected, and Malformed for a bad target or Host.
        """
        target = head.target
        if target == b"*" and head.method != b"OPTIONS":
            raise Malformed(400, "bad_target", "only OPTIONS is asked of a server as a whole")
        if target.startswith(b"/") or target == b"*":
            port: int | None = None
            if head.host:
                value = head.host
                host, port, of_sidecar = _usual_host(value) if len(value) <= USUAL_BYTES else _host(value)
            elif own is None and self._original is None:
                raise Malformed(400, "host", "the request has no Host")
            else:
                host, of_sidecar = "", False
            if own is None:
                original = self._original
                route = self._hosts.find(host, port or (80 if original is None else original.port))
                if route is None:
                    if original is not None:
                        return self._at_original(head, original)
                    raise self._unknown(head.host, "name it in the sidecar file")
                if of_sidecar:
                    head.fields = replace_host(head.fields, head.host, route.authority)
                return route
            if not host or (of_sidecar and own.role is not Role.INGRESS):
                head.fields = replace_host(head.fields, head.host, own.authority)
            return own
        return self._absolute(head, own)

    def intercepting(self, original: Address) -> "Router":
        """The same for a connection that was on its way to `original`: that is what an unknown Host leads to."""
        router = copy(self)
        router._original = original  # noqa: SLF001 - its own
        return router

    def check_tunnel(self, host: str, port: int) -> None:
        """Raise Misdirected if a tunnel to `host` would lead past the governance of one of the destinations."""
        if self._tunnel_governed:
            return
        route = self._hosts.find(host, port) or self._at_address(canonical_host(host), port)
        if route is not None:
            raise Misdirected(
                403,
                "connect_governed",
                f"calls of {route.name} are governed, and a tunnel would lead past that (egress.connect): call it by "
                f"http:// and let the sidecar speak TLS to it",
            )

    def _at_original(self, head: RequestHead, original: Address) -> Route:
        """By the address that the connection was on its way to: a destination's, or unlisted."""
        route = self._at_address(original.host, original.port)
        if route is not None:
            return route
        if not self._forward_unlisted:
            raise self._unknown(head.host, "unlisted hosts are refused (egress.unlisted)")
        return self._unlisted.find("http", original.host, original.port)

    def _at_address(self, host: str, port: int) -> Route | None:
        """The one destination that has an endpoint at this address; None where several do."""
        found = [route for route in self._routes.values() if (host, port) in route.pool.sockets]
        return found[0] if len(found) == 1 else None

    def _absolute(self, head: RequestHead, own: Route | None) -> Route:
        scheme, separator, rest = head.target.partition(b"://")
        scheme = scheme.lower()
        if not separator or scheme not in _STANDARD_PORTS:
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
        if own is not None and _names_the_sidecar(host):
            authority = own.authority
        # RFC 9112 §3.2.2: the authority of the target wins, and Host is made equal to it.
        if head.host != authority:
            head.fields = replace_host(head.fields, head.host, authority)
            head.host = authority
        if own is not None:
            return own
        number = port or _STANDARD_PORTS[scheme]
        route = self._hosts.find(host, number)
        if route is not None:
            return route
        if not self._forward_unlisted:
            raise self._unknown(authority, "unlisted hosts are refused (egress.unlisted)")
        return self._unlisted.find(scheme.decode("ascii"), host, number)

    def _unknown(self, authority: bytes, hint: str) -> Misdirected:
        """For a host that leads nowhere: the answer names it and those that are known, some of many."""
        known = self._hosts.hosts
        shown = ", ".join(_shortened(host) for host in known[:_MAX_SHOWN])
        more = f" and {len(known) - _MAX_SHOWN} more" if len(known) > _MAX_SHOWN else ""
        received = _shortened(authority.decode("latin-1").strip())
        return Misdirected(
            502, UNLISTED, f"no destination has the host {received}; {hint}. Known: {shown or 'none'}{more}"
        )


def _host(value: bytes) -> tuple[str, int | None, bool]:
    """Host and port of a Host field, and whether it only names the sidecar. Raises Malformed."""
    host, port = parse_authority(value)
    return host, port, _names_the_sidecar(host)


_usual_host = lru_cache(maxsize=1024)(_host)  # 0.2 µs less for a request whose head was not met before


def _names_the_sidecar(host: str) -> bool:
    """Whether a Host only says that the request went to the sidecar, and nothing that the destination knows."""
    if host[:1].isalpha() and not host.startswith("localhost"):
        return False  # most are names
    host = canonical_host(host)
    return host in {"localhost", "::1"} or host.startswith("127.")


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[:_MAX_SHOWN_CHARACTERS] + "…"
