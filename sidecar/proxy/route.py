"""A destination as requests find it: its engine state, its connections, and the bytes that depend on both."""

from enum import Enum
from typing import Final

from sidecar.engine.destination import Destination
from sidecar.engine.shadow import Shadow
from sidecar.idempotency.gate import IngressGate
from sidecar.proxy.call_routes import CallRoutes
from sidecar.proxy.key_dialect import KeyDialect
from sidecar.proxy.pool import Pool
from sidecar.wire.authority import format_authority

_STANDARD_PORTS: Final = {"http": 80, "https": 443}


class Role(Enum):
    """The side of the service that a route is on."""

    EGRESS = "egress"
    """To a destination that the sidecar file names."""
    UNLISTED = "unlisted"
    """To a host that no destination names."""
    INGRESS = "ingress"
    """To the service itself: every Host is passed on as it came, the sidecar's own among them."""


class Route:
    """Shared by all requests to one destination."""

    __slots__ = (
        "authority",
        "calls",
        "destination",
        "gate",
        "key_dialect",
        "name",
        "observation",
        "pool",
        "role",
        "shadow",
        "shadow_calls",
    )

    def __init__(self, name: str, destination: Destination, pool: Pool, role: Role = Role.EGRESS) -> None:
        self.name = name
        self.destination = destination
        self.pool = pool
        self.role = role
        self.authority = b""
        """The Host that the destination knows itself by: its first endpoint's."""
        self.key_dialect: KeyDialect | None = None
        """The form of idempotency keys on writes; None where the destination does not honour them."""
        self.gate: IngressGate | None = None
        """Of the way to the service, where routes have an Idempotency-Key contract."""
        self.calls = CallRoutes()
        """Settings by method and path; most destinations have none."""
        self.observation: Shadow | None = None
        """The judgement of a policy that is only observed; None unless the mode is observe."""
        self.shadow: Shadow | None = None
        """The shadow that follows exchanges: of a candidate, in a dry run, or of what is observed; mostly None."""
        self.shadow_calls = self.calls
        """The routes that it knows."""
        self.refresh()

    def refresh(self) -> None:
        """Take over what follows from the destination's policy and endpoints."""
        first = self.pool.endpoint
        standard = _STANDARD_PORTS[first.scheme] == first.port
        self.authority = format_authority(first.host, None if standard else first.port)
