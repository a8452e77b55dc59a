"""Addresses that no request is sent to: the sidecar's own, and link-local ones unless the sidecar file allows them.

A caller of the proxy would else reach what only processes of this machine may: its admin port, and the credentials
that clouds serve at link-local addresses. Every address is judged twice: as the request spells it, before anything is
done for it, and as it was resolved, before a connection to it is made.
"""

import socket
from collections.abc import Collection, Sequence
from typing import Final

from sidecar.net import Address, AddressRange, canonical_host, link_local
from sidecar.wire.misdirected import Misdirected

_LOOPBACK: Final = ("127.0.0.1", "::1")
_UNSPECIFIED: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


class Barred(Misdirected, ConnectionError):
    """An address that nothing is sent to, found out before or while connecting to it. No byte has left."""


class EgressGuard:
    """Judges addresses by where this sidecar listens and by what is allowed."""

    __slots__ = ("_allowed", "_control", "_ports", "_proxies")

    def __init__(
        self,
        outbound: Collection[Address] = (),
        inbound: Collection[Address] = (),
        control: Collection[Address] = (),
        allowed: Sequence[AddressRange] = (),
    ) -> None:
        """The listeners for calls of the service, for calls to it, and for operators.

        `allowed` lifts what is refused of link-local addresses; and of `control`, where it names the port.
        """
        self._proxies = frozenset((each.host, each.port) for each in (*outbound, *inbound))
        self._control = frozenset((each.host, each.port) for each in control)
        self._ports = frozenset(each.port for each in (*outbound, *control))
        self._allowed = tuple(allowed)

    def check(self, host: str, port: int) -> None:
        """Raise Barred unless `host` may be called at `port`: a name, or an IP address in any spelling."""
        host = canonical_host(host)
        if _listens(self._proxies, host, port):
            raise _loop()
        if _listens(self._control, host, port):
            self._check_control(host, port)
        elif link_local(host) and not any(each.covers(host, port) for each in self._allowed):
            raise Barred(
                403,
                "address_refused",
                f"{host} is link-local: refused unless egress.allow names it",
            )

    def check_connected(self, sock: socket.socket) -> None:
        """Raise Barred if the other end of a connection is the sidecar itself, by an address of this machine's.

        Nothing tells beforehand which those are where it listens on all of them.
        """
        peer = sock.getpeername()
        host, port = canonical_host(peer[0]), peer[1]
        if port not in self._ports or canonical_host(sock.getsockname()[0]) != host:
            return
        if any((unspecified, port) in self._control for unspecified in _UNSPECIFIED):
            self._check_control(host, port)
        elif any((unspecified, port) in self._proxies for unspecified in _UNSPECIFIED):
            raise _loop()

    def _check_control(self, host: str, port: int) -> None:
        if not any(each.port == port and each.covers(host, port) for each in self._allowed):
            raise Barred(403, "address_refused", "the sidecar's own admin and metrics ports are not reached through it")


def _listens(listeners: frozenset[tuple[str, int]], host: str, port: int) -> bool:
    """Whether a connection to `host` would come to one of `listeners`."""
    if (host, port) in listeners:
        return True
    # The kernel takes a connection to the unspecified address for one to loopback.
    anywhere = host == "localhost" or host.endswith(".localhost") or host in _UNSPECIFIED
    if not (anywhere or host in _LOOPBACK or host.startswith("127.")):
        return False
    meant = (*_UNSPECIFIED, *_LOOPBACK) if anywhere else _UNSPECIFIED
    return any((each, port) in listeners for each in meant)


def _loop() -> Barred:
    return Barred(508, "loop", "the request would come back to this sidecar")
