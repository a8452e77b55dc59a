"""Who stands between callers and a healthy dependency: each as it is when nobody has tuned it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from loadtest.child import free_port
from loadtest.envoy_config import EXTENSIONS, cluster, command, listener
from loadtest.subjects.envoy import Envoy
from loadtest.subjects.sidecar import Sidecar as SidecarAlone

DIRECT = "direct"
SIDECAR = "sidecar"


class Subject(Protocol):
    """One way to call a dependency."""

    @property
    def name(self) -> str:
        """In options and records."""

    @property
    def title(self) -> str:
        """In tables."""

    def version(self) -> str:
        """Raises MissingError if it is not here."""

    def command(self, directory: Path, upstream: Sequence[int], listen: int) -> list[str]:
        """Write one proxy's configuration; its command line. Empty where there is no proxy."""


@dataclass(frozen=True, slots=True)
class Direct:
    """No proxy at all: what all others are compared with."""

    name: str = DIRECT
    title: str = "direct"

    def version(self) -> str:
        return ""

    def command(self, directory: Path, upstream: Sequence[int], listen: int) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class Envoys:
    """Envoy without a time-out or limits, and with the two retries that Istio gives it. `adaptive`: and a limit."""

    name: str
    title: str
    adaptive: bool

    def version(self) -> str:
        return Envoy().version()

    def command(self, directory: Path, upstream: Sequence[int], listen: int) -> list[str]:
        retry = {
            "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
            "retriable_status_codes": [503],
            "num_retries": 2,
        }
        route = {"match": {"prefix": "/"}, "route": {"cluster": "d0", "timeout": "0s", "retry_policy": retry}}
        filters = [_adaptive_concurrency()] if self.adaptive else []
        return command(directory, [listener(0, listen, [route], filters)], [cluster(0, upstream)])


@dataclass(frozen=True, slots=True)
class Sidecars:
    """The sidecar under its compiled-in policy, which is `config/policy.yaml` as shipped."""

    name: str = SIDECAR
    title: str = "sidecar"
    executable: Path | None = None
    """Another checkout's; this one's own where there is none."""

    def version(self) -> str:
        return SidecarAlone(self.name, self.executable).version()

    def command(self, directory: Path, upstream: Sequence[int], listen: int) -> list[str]:
        document = {
            "service": "harmless",
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
            "egress": {"listen": [f"127.0.0.1:{free_port()}"]},
            "destinations": {
                "d0": {
                    "endpoints": [f"http://127.0.0.1:{port}" for port in upstream],
                    "hosts": ["d0"],
                    "listen": f"127.0.0.1:{listen}",
                }
            },
        }
        config = directory / "sidecar.yaml"
        config.write_text(json.dumps(document, indent=2))  # JSON is YAML
        return [*SidecarAlone(self.name, self.executable).program(), "run", "--config", str(config)]


SUBJECTS: Mapping[str, Subject] = {
    subject.name: subject
    for subject in (
        Direct(),
        Sidecars(),
        Envoys("envoy", "Envoy", adaptive=False),
        Envoys("envoy-adaptive", "Envoy with adaptive concurrency", adaptive=True),
    )
}


def _adaptive_concurrency() -> dict[str, Any]:
    """The filter with the values of its documentation's example; what is left out there is left out here."""
    return {
        "name": "envoy.filters.http.adaptive_concurrency",
        "typed_config": {
            "@type": f"{EXTENSIONS}.http.adaptive_concurrency.v3.AdaptiveConcurrency",
            "gradient_controller_config": {
                "sample_aggregate_percentile": {"value": 90},
                "concurrency_limit_params": {"concurrency_update_interval": "0.1s"},
                "min_rtt_calc_params": {"jitter": {"value": 10}, "interval": "60s", "request_count": 50},
            },
            "enabled": {"default_value": True, "runtime_key": "adaptive_concurrency.enabled"},
        },
    }
