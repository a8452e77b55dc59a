import pytest

from sidecar.engine.classify import classify, is_permanent
from sidecar.engine.outcome import FailureClass, Fault
from sidecar.engine.policy import RetryPolicy

TRANSIENT, THROTTLED, PERMANENT = FailureClass


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (200, PERMANENT),
        (400, PERMANENT),
        (401, PERMANENT),
        (404, PERMANENT),
        (409, PERMANENT),
        (422, PERMANENT),
        (429, THROTTLED),
        (500, PERMANENT),
        (502, PERMANENT),
        (503, TRANSIENT),
        (504, PERMANENT),
        (Fault.CONNECT_FAILURE, TRANSIENT),
        (Fault.RESET, TRANSIENT),
        (Fault.TIMEOUT, TRANSIENT),
        (Fault.PROTOCOL, PERMANENT),
    ],
)
def test_an_outcome_has_its_class_by_default(outcome: int | Fault, expected: FailureClass) -> None:
    assert classify(RetryPolicy(), outcome) is expected


def test_a_status_that_the_policy_lists_is_transient() -> None:
    policy = RetryPolicy(statuses=frozenset({502, 504}))

    classes = [classify(policy, status) for status in (502, 503, 504, 429)]

    assert classes == [TRANSIENT, PERMANENT, TRANSIENT, PERMANENT]


def test_a_fault_that_the_policy_does_not_list_is_permanent() -> None:
    policy = RetryPolicy(faults=frozenset({Fault.RESET}))

    classes = [classify(policy, fault) for fault in Fault]

    assert classes == [PERMANENT, TRANSIENT, PERMANENT, PERMANENT]


@pytest.mark.parametrize("outcome", [200, 404, 429, 503, *Fault])
def test_what_is_permanent_is_not_tried_again(outcome: int | Fault) -> None:
    assert is_permanent(RetryPolicy(), outcome) is (classify(RetryPolicy(), outcome) is PERMANENT)
