"""The parts of an Envoy configuration that the measurements share."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.subjects.envoy import binary

EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"


def command(
    directory: Path, listeners: Sequence[Mapping[str, Any]], clusters: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Write the configuration; the command line of an Envoy with one worker. Raises MissingError if it is not here."""
    config = directory / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": listeners, "clusters": clusters}}, indent=2))
    return [binary(), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


def listener(
    number: int, port: int, routes: Sequence[Mapping[str, Any]], filters: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Of destination `number`; `filters` come before the router."""
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{EXTENSIONS}.http.router.v3.Router"},
    }
    return {
        "name": f"d{number}",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": {
                            "@type": f"{EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
                            "stat_prefix": f"d{number}",
                            "route_config": {
                                "virtual_hosts": [{"name": f"d{number}", "domains": ["*"], "routes": routes}]
                            },
                            "http_filters": [*filters, router],
                        },
                    }
                ]
            }
        ],
    }


def cluster(number: int, ports: Sequence[int]) -> dict[str, Any]:
    """Of destination `number`, with its endpoints on loopback and no limits."""
    # As Istio sets it: without it Envoy allows 3 retries at a time, and a proxy whose retries stop at once is not what
    # people have who switched retries on.
    unlimited = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    thresholds: dict[str, Any] = dict.fromkeys(unlimited, 1 << 31)
    return {
        "name": f"d{number}",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": f"d{number}",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
                        for port in ports
                    ]
                }
            ],
        },
        "circuit_breakers": {"thresholds": [thresholds]},
    }
