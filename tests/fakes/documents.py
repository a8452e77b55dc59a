"""The smallest pair of documents that is valid and says something; tests add to it."""

from collections.abc import Callable
from datetime import UTC, datetime

from sidecar.governance.policy.snapshot import Snapshot

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
"""When documents are read, unless a test says otherwise."""

SIDECAR = """\
service: checkout
policy: {file: policy.yaml}
destinations:
  payments:
    endpoints: ["http://payments:8080"]
"""
POLICY = """\
version: 7
owner: platform
"""

OVERRIDE = """\
    overrides:
      budget: {ratio: 0.35}
"""
"""For SIDECAR: a number past the built-in guardrail of 0.2."""

EXCEPTION = """\
exceptions:
  - id: EX-1
    service: checkout
    destination: payments
    setting: budget.ratio
    value: 0.35
    reason: Month-end batch with headroom
    ticket: PAY-812
    owner: team-payments
    approved_by: [a.lee, b.ortiz]
    not_before: 2026-11-24
    expires: 2026-12-05
"""
"""For POLICY: leave for OVERRIDE."""

Loading = Callable[..., Snapshot]
"""`loading(sidecar=..., policy=..., now=...)`: see conftest."""
