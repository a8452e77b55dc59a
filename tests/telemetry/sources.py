"""A MetricsSource whose every number the test sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sidecar.engine.destination import Destination
from sidecar.engine.histogram import Histogram
from sidecar.engine.outcome import Result
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.shadow import Shadow
from sidecar.telemetry.metrics import KEY_OUTCOMES, PROBE_OUTCOMES
from sidecar.telemetry.metrics_source import (
    CertificateRenewals,
    Connections,
    ExceptionLife,
    KeyStoreHealth,
    PolicyIdentity,
    PolicyReloads,
    PolicyStanding,
    RouteCounts,
)


def destination(name: str, policy: DestinationPolicy | None = None) -> Destination:
    return Destination(name, policy or DestinationPolicy(), lambda: 0.5, 0.0)


def key_store(failures: int, *, failing: bool = False, took: tuple[float, ...] = (0.002, 0.003)) -> KeyStoreHealth:
    seconds = Histogram()
    for each in took:
        seconds.observe(each)
    return KeyStoreHealth(failures, failing, seconds)


@dataclass
class SetMetricsSource:
    destinations: Mapping[str, Destination] = field(default_factory=lambda: {"payments": destination("payments")})
    rejections: Mapping[str, int] = field(default_factory=lambda: {"host": 0, "head_too_large": 2})
    policy: PolicyIdentity = field(default_factory=lambda: PolicyIdentity(7, "sha256:3f2a"))
    reloads: PolicyReloads = field(default_factory=lambda: PolicyReloads(3, 1, 1_790_000_000.0, None))
    exceptions: Sequence[ExceptionLife] = (ExceptionLife("EX-1", 1_796_428_800.0, 12),)
    left_out: Mapping[str, int] = field(default_factory=lambda: {"payments": 1})
    standing: PolicyStanding = field(default_factory=lambda: PolicyStanding("source", "none", 0, 1.5, 1_800_000_000.0))
    shadows: Mapping[str, Shadow] = field(
        default_factory=lambda: {
            "payments": Shadow(destination("payments"), DestinationPolicy(), lambda: 0.5, 0.0),
        }
    )
    observations: Mapping[str, Shadow] = field(
        default_factory=lambda: {"payments": Shadow(destination("payments"), DestinationPolicy(), lambda: 0.5, 0.0)}
    )
    log_lines_dropped: Mapping[str, int] = field(default_factory=lambda: {"rate_limit": 5, "backpressure": 0})
    spans: Mapping[str, int] = field(default_factory=lambda: {"exported": 40, "failed": 2, "dropped": 3})
    routes: Mapping[str, Sequence[RouteCounts]] = field(
        default_factory=lambda: {"payments": [RouteCounts("reports", [0] * len(Result), 3)]}
    )
    background_failures: Mapping[str, int] = field(default_factory=lambda: {"policy_watch": 3, "policy_reload": 0})
    certificates: CertificateRenewals = field(
        default_factory=lambda: CertificateRenewals(
            2, 1, "sidecar.yaml:9: destinations.payments.tls.key: can not be read"
        )
    )
    key_outcomes: Mapping[str, Mapping[str, int]] = field(
        default_factory=lambda: {"pay": {**dict.fromkeys(KEY_OUTCOMES, 0), "new": 8, "replayed": 2, "in_flight": 3}}
    )
    key_probes: Mapping[str, Mapping[str, int]] = field(
        default_factory=lambda: {"pay": {**dict.fromkeys(PROBE_OUTCOMES, 0), "applied": 6}}
    )
    keys_unknown: int | None = 3
    key_store: KeyStoreHealth | None = field(default_factory=lambda: key_store(4, failing=True))
    undeclared: Mapping[str, int] = field(default_factory=lambda: {"POST": 5})
    misdirected: Mapping[str, int] = field(default_factory=lambda: {"unlisted": 9})
    handshake_failures: Mapping[str, int] = field(default_factory=lambda: {"tls_client_certificate": 6})
    event_loop_lag: float = 0.0125
    open_connections: Connections = field(
        default_factory=lambda: Connections(
            downstream=4, tunnels=1, active={"payments": 2}, idle={"payments": 3}, bypassing={"payments": 1}
        )
    )

    def connections(self) -> Connections:
        return self.open_connections
