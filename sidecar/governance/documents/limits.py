"""The bounds of what the wire accepts: owned by the platform, one set for the whole sidecar."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from sidecar.engine.policy import PolicyFault, require
from sidecar.governance.documents.units import Duration, Size

_KIB = 1 << 10
_MIB = 1 << 20
_DAY = 86400.0


class WireLimits(Struct, frozen=True):
    """Bytes, seconds and counts. `body_bytes` None lets bodies of any size pass; nothing is ever buffered beyond need.

    Raises InvalidPolicy, its field as the policy document has it below `limits`.
    """

    head_bytes: int = 64 * _KIB
    headers: int = 100
    target_bytes: int = 16 * _KIB
    body_bytes: int | None = None
    head_timeout: float = 15.0
    """Until a client's head is complete."""
    idle_timeout: float = 75.0
    """Of a kept-alive client connection, between requests."""
    connections: int = 10_000
    """Per listener."""
    upstream_head_bytes: int = 64 * _KIB
    upstream_headers: int = 256
    upstream_idle_timeout: float = 30.0
    """Of a kept-alive connection to an endpoint, between requests."""
    connect_timeout: float = 1.0
    tunnel_idle_timeout: float = 600.0
    dns_ttl: float = 30.0
    """After which the address of an endpoint that is a name is looked up again."""

    def __post_init__(self) -> None:
        for name in LIMIT_BOUNDS:
            value = getattr(self, name)
            others = ("head_bytes",) if name == "target_bytes" else ()
            code = PolicyFault.BOUNDS if LIMIT_BOUNDS[name][1] is not None else PolicyFault.VALUE
            require(
                value is None or self._within(name, value), name, f"must be {limit_rule(name)}", value, others, code
            )

    def _within(self, name: str, value: float) -> bool:
        low, high = LIMIT_BOUNDS[name]
        if name == "target_bytes":
            high = self.head_bytes
        return (value > 0 if not low and name in _SECONDS else value >= low) and (high is None or value <= high)


LIMIT_BOUNDS: Final[Mapping[str, tuple[float, float | None]]] = {
    "head_bytes": (_KIB, _MIB),
    "headers": (1, 10_000),
    "target_bytes": (256, _MIB),
    "body_bytes": (0, None),
    "head_timeout": (0.0, 300.0),
    "idle_timeout": (0.0, _DAY),
    "connections": (1, 1_000_000),
    "upstream_head_bytes": (_KIB, _MIB),
    "upstream_headers": (1, 10_000),
    "upstream_idle_timeout": (0.0, _DAY),
    "connect_timeout": (0.0, 60.0),
    "tunnel_idle_timeout": (0.0, _DAY),
    "dns_ttl": (1.0, _DAY),
}
"""The bounds of each limit, both included; but no time may be zero, and a target is no longer than its head."""
_SECONDS: Final = frozenset(name for name, (low, _) in LIMIT_BOUNDS.items() if isinstance(low, float))


def limit_rule(name: str) -> str:
    """The bounds of the limit called `name`, in words that follow "must be"."""
    low, high = LIMIT_BOUNDS[name]
    if high is None:
        return "off, or a size"
    most = "head_bytes" if name == "target_bytes" else limit_text(name, high)
    if not low:
        return f"over 0s and at most {most}"
    return f"between {limit_text(name, low)} and {most}"


def limit_text(name: str, value: float | None) -> str:
    """The limit called `name`, as a policy would say it."""
    if value is None:
        return "off"
    if isinstance(value, float):
        return str(Duration(value))
    return str(Size(value)) if name.endswith("_bytes") else str(value)
