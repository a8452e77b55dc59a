import pytest
from msgspec.structs import replace

from sidecar.telemetry.record import AttemptRecord, ExchangeRecord

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
    with pytest.raises(AttributeError):
        EXCHANGE.status = 500  # type: ignore[misc]
    with pytest.raises(AttributeError):
        FAILED.outcome = "200"  # type: ignore[misc]


def test_records_that_tell_the_same_are_equal() -> None:
    assert replace(EXCHANGE) == EXCHANGE
    assert replace(EXCHANGE, attempts=(FAILED,)) != EXCHANGE
    assert hash(replace(EXCHANGE)) == hash(EXCHANGE)


def test_what_was_waited_is_the_time_before_the_first_attempt() -> None:
    attempt = AttemptRecord(1, "first", "10.0.0.1:8080", "200", 0.0006, 0.0, began=0.274)

    sent = replace(EXCHANGE, seconds=0.2746, attempts=(attempt,))
    never_sent = replace(EXCHANGE, seconds=0.6, attempts=())

    assert sent.waited == 0.274
    assert never_sent.waited == 0.6


@pytest.mark.parametrize(
    ("status", "outcomes", "answered_by"),
    [
        (503, ["503"], "upstream"),
        (503, [], "sidecar"),
        (504, ["timeout"], "sidecar"),
        (502, ["503", "reset"], "sidecar"),
        (200, ["503", "200"], "upstream"),
        (0, [], ""),
    ],
)
def test_an_answer_is_the_upstreams_where_an_attempt_ended_so(
    status: int, outcomes: list[str], answered_by: str
) -> None:
    attempts = tuple(AttemptRecord(n, "first", "a:1", outcome, 0.1, 0.0) for n, outcome in enumerate(outcomes, 1))

    assert replace(EXCHANGE, status=status, attempts=attempts).answered_by == answered_by
