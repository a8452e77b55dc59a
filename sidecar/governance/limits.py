"""The bounds of what the wire accepts: owned by the platform, one set for the whole sidecar."""

from dataclasses import dataclass

from sidecar.engine.policy import require
from sidecar.governance.units import Duration, Size

_KIB = 1 << 10
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class WireLimits:
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
        require(_KIB <= self.head_bytes <= _MIB, "head_bytes", "must be between 1KiB and 1MiB", self.head_bytes)
        require(1 <= self.headers <= 10_000, "headers", "must be between 1 and 10000", self.headers)
        require(
            256 <= self.target_bytes <= self.head_bytes,
            "target_bytes",
            "must be between 256B and head_bytes",
            self.target_bytes,
        )
        require(self.body_bytes is None or self.body_bytes >= 0, "body_bytes", "must not be negative", self.body_bytes)
        require(0 < self.head_timeout <= 300, "head_timeout", "must be over 0s and at most 5m", self.head_timeout)
        require(0 < self.idle_timeout <= 86400, "idle_timeout", "must be over 0s and at most 24h", self.idle_timeout)
        require(1 <= self.connections <= 1_000_000, "connections", "must be between 1 and 1000000", self.connections)
        require(
            _KIB <= self.upstream_head_bytes <= _MIB,
            "upstream_head_bytes",
            "must be between 1KiB and 1MiB",
            self.upstream_head_bytes,
        )
        require(
            1 <= self.upstream_headers <= 10_000,
            "upstream_headers",
            "must be between 1 and 10000",
            self.upstream_headers,
        )
        require(
            0 < self.upstream_idle_timeout <= 86400,
            "upstream_idle_timeout",
            "must be over 0s and at most 24h",
            self.upstream_idle_timeout,
        )
        require(
            0 < self.connect_timeout <= 60, "connect_timeout", "must be over 0s and at most 1m", self.connect_timeout
        )
        require(
            0 < self.tunnel_idle_timeout <= 86400,
            "tunnel_idle_timeout",
            "must be over 0s and at most 24h",
            self.tunnel_idle_timeout,
        )
        require(1 <= self.dns_ttl <= 86400, "dns_ttl", "must be between 1s and 24h", self.dns_ttl)


def limit_text(name: str, value: float | None) -> str:
    """The limit called `name`, as a policy would say it."""
    if value is None:
        return "off"
    if isinstance(value, float):
        return str(Duration(value))
    return str(Size(value)) if name.endswith("_bytes") else str(value)
