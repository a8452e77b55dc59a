"""Outcome to FailureClass, by the policy: the one table of what is worth another attempt.

The judgement (`RetryState`) and every forecast of it ask here.
"""

from typing import Final

from sidecar.engine.outcome import FailureClass, Fault
from sidecar.engine.policy import RetryPolicy

TOO_MANY_REQUESTS: Final = 429
"""The callers are too many; the destination does not fail: no failure to the breaker (RFC 6585, section 4)."""
_TRANSIENT: Final = FailureClass.TRANSIENT
_THROTTLED: Final = FailureClass.THROTTLED
_PERMANENT: Final = FailureClass.PERMANENT


def classify(policy: RetryPolicy, outcome: int | Fault) -> FailureClass:
    """The failure class of a bad outcome, a status or a fault, by the policy."""
    if isinstance(outcome, Fault):
        return _TRANSIENT if outcome in policy.faults else _PERMANENT
    if outcome not in policy.statuses:
        return _PERMANENT
    return _THROTTLED if outcome == TOO_MANY_REQUESTS else _TRANSIENT


def is_permanent(policy: RetryPolicy, outcome: int | Fault) -> bool:
    """Whether another attempt would fare no better."""
    return classify(policy, outcome) is _PERMANENT
