from dataclasses import FrozenInstanceError, replace

import pytest

from sidecar.engine.record import AttemptRecord, ExchangeRecord

FAILED = AttemptRecord(1, "first", "10.0.0.1:80", "503", 0.004, 0.0)
SAVED = AttemptRecord(2, "retry", "10.0.0.2:80", "200", 0.003, 0.012)
EXCHANGE = ExchangeRecord(
    destination="payments",
    method="GET",
    target="/charges",
    status=200,
    result="success",
    seconds=0.019,
    attempts=(FAILED, SAVED),
    refusal=None,
    budget_balance=2.0,
    breaker="closed",
    policy_version=7,
    request_id="r-1",
    trace_id=None,
)


def test_a_record_cannot_be_changed_once_it_is_told() -> None:
    with pytest.raises(FrozenInstanceError):
        EXCHANGE.status = 500  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        FAILED.outcome = "200"  # type: ignore[misc]


def test_records_that_tell_the_same_are_equal() -> None:
    assert replace(EXCHANGE) == EXCHANGE
    assert replace(EXCHANGE, attempts=(FAILED,)) != EXCHANGE
    assert hash(replace(EXCHANGE)) == hash(EXCHANGE)
