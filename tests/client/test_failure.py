import pytest

from sidecar.client.failure import Failure, classify_os_errors, fault_of
from sidecar.engine.outcome import Fault


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({}, "status: must be given, or fault"),
        ({"status": 503, "fault": "reset"}, "and not both"),
        ({"status": 99}, "between 100 and 599"),
        ({"status": 503, "sent": False}, "it was answered"),
        ({"fault": "reset", "retry_after": -1.0}, "must not be negative"),
        ({"fault": "reset", "retry_after": float("nan")}, "must not be negative"),
    ],
)
def test_a_failure_that_makes_no_sense_is_refused(given: dict[str, object], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Failure(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ConnectionRefusedError(), Failure(fault="connect_failure", sent=False)),
        (ConnectionResetError(), Failure(fault="reset")),
        (BrokenPipeError(), Failure(fault="reset")),
        (TimeoutError(), Failure(fault="timeout")),
        (ValueError(), None),
        (OSError("disk full"), None),
    ],
)
def test_errors_of_sockets_are_failures_and_others_are_not(error: Exception, failure: Failure | None) -> None:
    assert classify_os_errors(error) == failure


def test_a_fault_is_the_engines() -> None:
    assert fault_of(Failure(fault="timeout")) is Fault.TIMEOUT
