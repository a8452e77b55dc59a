"""Outcome to FailureClass, by table."""

from sidecar.engine.outcome import FailureClass, Fault
from sidecar.engine.policy import RetryPolicy

_THROTTLING = 429


def status_table(policy: RetryPolicy) -> dict[int, FailureClass]:
    """The statuses that are worth another attempt; one that is missing here is permanent."""
    return {
        status: FailureClass.THROTTLED if status == _THROTTLING else FailureClass.TRANSIENT
        for status in policy.statuses
    }


def classify(policy: RetryPolicy, outcome: int | Fault) -> FailureClass:
    """The failure class of a bad outcome, a status or a fault, by the policy."""
    if isinstance(outcome, Fault):
        return FailureClass.TRANSIENT if outcome in policy.faults else FailureClass.PERMANENT
    return status_table(policy).get(outcome, FailureClass.PERMANENT)
