"""Who stands between clients and dependency: all with the same patience, and nothing is tuned for a scenario."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from loadtest.child import free_port
from loadtest.envoy_config import cluster, command, listener
from loadtest.storm.scenario import Scenario
from loadtest.subjects.envoy import Envoy
from loadtest.subjects.sidecar import POLICY
from loadtest.subjects.sidecar import Sidecar as SidecarAlone

Ports = Sequence[Sequence[int]]
"""Of each destination's endpoints."""


class Subject(Protocol):
    """One way to call a dependency."""

    name: str
    title: str
    retries_in_the_client: bool
    has_proxies: bool

    def version(self) -> str:
        """Raises MissingError if it is not here."""

    def command(self, directory: Path, scenario: Scenario, upstream: Ports, listen: Sequence[int]) -> list[str]:
        """Write one proxy's configuration, that listens on a port for each destination; its command line."""


@dataclass(frozen=True, slots=True)
class Bare:
    """No proxy at all."""

    name: str
    title: str
    retries_in_the_client: bool
    has_proxies: bool = False

    def version(self) -> str:
        return ""

    def command(self, directory: Path, scenario: Scenario, upstream: Ports, listen: Sequence[int]) -> list[str]:
        raise AssertionError("there is nothing to run")


@dataclass(frozen=True, slots=True)
class Envoys:
    """Envoy, with the route and cluster settings that make the difference."""

    name: str
    title: str
    tuned: bool
    retries_in_the_client: bool = False
    has_proxies: bool = True

    def version(self) -> str:
        return Envoy().version()

    def command(self, directory: Path, scenario: Scenario, upstream: Ports, listen: Sequence[int]) -> list[str]:
        listeners = [
            listener(number, port, _routes(number, scenario, tuned=self.tuned)) for number, port in enumerate(listen)
        ]
        clusters = [_cluster(number, ports, tuned=self.tuned) for number, ports in enumerate(upstream)]
        return command(directory, listeners, clusters)


@dataclass(frozen=True, slots=True)
class Sidecars:
    """The sidecar under the policy that is shipped, with only the patience that all are given."""

    name: str = "sidecar"
    title: str = "sidecar"
    retries_in_the_client: bool = False
    has_proxies: bool = True

    def version(self) -> str:
        return SidecarAlone().version()

    def command(self, directory: Path, scenario: Scenario, upstream: Ports, listen: Sequence[int]) -> list[str]:
        document = {
            "service": "storm",
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
            "policy": {"file": str(POLICY)},
            "egress": {"listen": [f"127.0.0.1:{free_port()}"]},
            "destinations": {
                f"d{number}": {
                    "endpoints": [f"http://127.0.0.1:{port}" for port in ports],
                    "hosts": [f"d{number}"],
                    "listen": f"127.0.0.1:{listen[number]}",
                    "overrides": {
                        "timeout": _milliseconds(scenario.timeout),
                        "per_attempt_timeout": _milliseconds(scenario.per_try),
                    },
                }
                for number, ports in enumerate(upstream)
            },
        }
        config = directory / "sidecar.yaml"
        config.write_text(json.dumps(document, indent=2))  # JSON is YAML
        return [sys.executable, "-m", "sidecar", "run", "--config", str(config)]


SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        Bare("none", "no proxy", retries_in_the_client=False),
        Bare("naive", "3 tries in the client", retries_in_the_client=True),
        Envoys("envoy", "Envoy with retries", tuned=False),
        Envoys("envoy-tuned", "Envoy, best practice", tuned=True),
        Sidecars(),
    )
}


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f}ms"


def _routes(number: int, scenario: Scenario, *, tuned: bool) -> list[dict[str, Any]]:
    route: dict[str, Any] = {"cluster": f"d{number}", "timeout": f"{scenario.timeout:g}s"}
    retry: dict[str, Any] = {
        "retry_on": "5xx,reset,connect-failure,refused-stream,retriable-status-codes",
        "retriable_status_codes": [429],
        "num_retries": 3,
        "per_try_timeout": f"{scenario.per_try:g}s",
    }
    if not tuned:
        return [{"match": {"prefix": "/"}, "route": {**route, "retry_policy": retry}}]
    careful = {
        "retry_on": "retriable-status-codes,reset,connect-failure,refused-stream",
        "retriable_status_codes": [429, 503],
        "num_retries": 2,
        "per_try_timeout": f"{scenario.per_try:g}s",
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "1s"},
        "rate_limited_retry_back_off": {
            "reset_headers": [{"name": "Retry-After", "format": "SECONDS"}],
            "max_interval": "10s",
        },
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }
    reading = {"prefix": "/", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]}
    unsent = {"retry_on": "connect-failure,refused-stream", "num_retries": 2}
    return [
        {"match": reading, "route": {**route, "retry_policy": careful}},
        {"match": {"prefix": "/"}, "route": {**route, "retry_policy": unsent}},
    ]


def _cluster(number: int, ports: Sequence[int], *, tuned: bool) -> dict[str, Any]:
    if not tuned:
        return cluster(number, ports)
    # Tried, and worse: an admission_control filter (it recovers from 503s in 0.75 s instead of at once, and does no
    # better in a hang); a queue (max_connections 20, max_pending_requests 1024: a hang of 1.5 s then loses nothing,
    # but one of 5 s lasts for 6 s more).
    thresholds = {
        "max_connections": 1024,
        "max_requests": 20,
        "max_pending_requests": 20,
        "retry_budget": {"budget_percent": {"value": 20.0}, "min_retry_concurrency": 3},
    }
    return {
        **cluster(number, ports),
        "circuit_breakers": {"thresholds": [thresholds]},
        "lb_policy": "LEAST_REQUEST",
        "outlier_detection": {
            "consecutive_5xx": 5,
            "interval": "1s",
            "base_ejection_time": "1s",
            "max_ejection_time": "5s",
            "max_ejection_percent": 50,
        },
    }
