"""The two documents the demo's sidecar runs on, as a service team and a platform team would write them."""

from pathlib import Path

from sidecar.demo.script import Script

DESTINATION = "payments"

SIDECAR = """\
service: demo
admin: {{listen: "127.0.0.1:{admin}"}}
policy: {{file: policy.yaml}}
egress:
  listen: ["127.0.0.1:{egress}"]
destinations:
  {destination}:
    endpoints: ["http://127.0.0.1:{dependency}"]
    hosts: [{destination}]
    listen: "127.0.0.1:{port}"
"""

POLICY = """\
version: 1
owner: demo
defaults:
  timeout: {deadline}ms
  per_attempt_timeout: {per_try}ms
  retry:
    max_attempts: 3
    statuses: [429, 503]
    faults: [connect_failure, reset, timeout]
    methods: idempotent
    backoff: {{base: 25ms, max: 1s, jitter: full}}
    retry_after: {{honour: true, max: 10s}}
  budget: {{ratio: 0.1, window: 10s, burst: 2, min_retries: 3}}
"""
"""Only the two times differ from the baseline: they are the naive client's, so both sides have the same patience."""


def write(folder: Path, script: Script, *, admin: int, egress: int, port: int, dependency: int) -> Path:
    """Write both documents into `folder` and return the path of the first."""
    (folder / "policy.yaml").write_text(
        POLICY.format(deadline=round(script.deadline * 1000), per_try=round(script.per_try * 1000)), encoding="utf-8"
    )
    document = folder / "sidecar.yaml"
    document.write_text(
        SIDECAR.format(admin=admin, egress=egress, port=port, dependency=dependency, destination=DESTINATION),
        encoding="utf-8",
    )
    return document
