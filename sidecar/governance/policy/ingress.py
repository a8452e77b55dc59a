"""The way to the service itself, as it is governed where no document says otherwise.

The callers of a service have retries, budgets and breakers of their own. Repeated in front of the service they would
multiply, and a second opinion about when to give up is of no help: what is here repeats only what the service has never
seen, refuses nothing and waits for as long as its callers do.
"""

from typing import Final

from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.settings import Settings
from sidecar.governance.documents.yaml import parse
from sidecar.governance.policy.resolve import BASELINE, Layer, Resolution, Source

INGRESS_TEXT: Final = """\
timeout: 5m                     # callers know how long they want to wait, and leave when it is over
per_attempt_timeout: 5m         # no attempt is given up for another
idle_timeout: 5m
retry:
  statuses: []                  # the service's answers are its own
  faults: [connect_failure]     # nothing had been sent: a service that restarts is there again in a moment
breaker:                        # never: connecting to a port of the same machine costs nothing
  failure_ratio: 1
  min_requests: 1000000000
  consecutive_failures: 1000000000
  statuses: []
concurrency:                    # as many as there are connections (limits.connections)
  limit: fixed
  initial: 1000000
  max_in_flight: 1000000
"""


def _baseline() -> Resolution:
    findings: list[Finding] = []
    tree = parse(INGRESS_TEXT.encode("ascii"), "built in for ingress")
    settings = Decoder(tree, findings).document(Settings, {})
    assert settings is not None
    resolution = BASELINE.under(Layer(Source.BASELINE, settings, tree, ()), {}, findings)
    assert not findings, findings
    return resolution


INGRESS_BASELINE: Final = _baseline()
"""The values below `destinations.ingress` of a policy, and below `ingress.overrides`."""
