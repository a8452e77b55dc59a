"""HAProxy with one thread, keep-alive on both sides and retries."""

from pathlib import Path
from string import Template

from loadtest.subjects.subject import found, said

CONFIG = Template("""\
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 10s
  retries 2
  retry-on conn-failure empty-response response-timeout 503
  http-reuse always
frontend egress
  bind 127.0.0.1:$port
  default_backend payments
backend payments
  server payments 127.0.0.1:$upstream_port
""")


class Haproxy:
    name = "haproxy"
    is_optional = True

    def version(self) -> str:
        # It says: HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/
        return said([found("haproxy"), "-v"]).partition("version ")[2].partition(" ")[0].partition("-")[0]

    def command(self, directory: Path, port: int, upstream_port: int) -> list[str]:
        config = directory / "haproxy.cfg"
        config.write_text(CONFIG.substitute(port=port, upstream_port=upstream_port))
        return [found("haproxy"), "-db", "-f", str(config)]
