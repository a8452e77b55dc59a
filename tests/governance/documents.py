"""The smallest pair of documents that is valid and says something; tests add to it."""

from collections.abc import Callable

from sidecar.governance.snapshot import Snapshot

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

Loading = Callable[..., Snapshot]
"""`loading(sidecar=..., policy=...)`: see conftest."""
