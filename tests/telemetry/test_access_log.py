"""Exchanges become lines; secrets never do; a storm of them is no second outage."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.line_limit import LineLimit
from sidecar.telemetry.log import Format, LogLevel
from sidecar.telemetry.record import AttemptRecord, ExchangeRecord
from tests.telemetry.logs import PipedLog

FIRST = AttemptRecord(number=1, kind="first", endpoint="10.0.0.1:8080", outcome="503", seconds=0.1, backoff=0.0)
SECOND = AttemptRecord(
    number=2, kind="retry", endpoint="10.0.0.2:8080", outcome="200", seconds=0.05, backoff=0.0213, began=0.1213
)

ORDINARY = ExchangeRecord(
    destination="payments",
    method="GET",
    target="/v1/charges",
    status=200,
    result="success",
    seconds=0.05,
    attempts=(replace(FIRST, outcome="200"),),
    refusal=None,
    budget_balance=2.456,
    breaker="closed",
    policy_version=7,
    request_id="req-1",
    trace_id=None,
)
RETRIED = replace(ORDINARY, attempts=(FIRST, SECOND))


@dataclass
class Time:
    now: float = 0.0
    armed: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.armed.append((seconds, callback))


def access_log(piped: PipedLog, time: Time, *, burst: int = 100) -> AccessLog:
    return AccessLog(piped.log, LineLimit(50, burst, 0.0), time.clock, time.call_later)


def line_of(record: ExchangeRecord) -> dict[str, Any]:
    with PipedLog() as piped:
        access_log(piped, Time()).record(record)
        (line,) = piped.lines()
    return line


def test_a_retried_exchange_is_a_line_with_its_attempts() -> None:
    line = line_of(RETRIED)

    del line["timestamp"]
    assert line == {
        "level": "info",
        "event": "exchange",
        "destination": "payments",
        "method": "GET",
        "target": "/v1/charges",
        "status": 200,
        "outcome": "success",
        "answered_by": "upstream",
        "ms": 50.0,
        "waited_ms": 0.0,
        "attempts": [
            {
                "n": 1,
                "kind": "first",
                "endpoint": "10.0.0.1:8080",
                "outcome": "503",
                "ms": 100.0,
                "backoff_ms": 0.0,
                "began_ms": 0.0,
                "late": False,
            },
            {
                "n": 2,
                "kind": "retry",
                "endpoint": "10.0.0.2:8080",
                "outcome": "200",
                "ms": 50.0,
                "backoff_ms": 21.3,
                "began_ms": 121.3,
                "late": False,
            },
        ],
        "refusal": None,
        "budget": 2.46,
        "breaker": "closed",
        "policy_version": 7,
        "request_id": "req-1",
        "trace_id": None,
    }


@pytest.mark.parametrize(
    ("record", "level"),
    [
        (replace(ORDINARY, refusal="budget_exhausted", status=503, result="server_error"), "warning"),
        (replace(ORDINARY, status=504, result="fault"), "warning"),
        (replace(ORDINARY, status=503, result="refused", attempts=()), "warning"),
        (replace(ORDINARY, status=500, result="server_error"), "warning"),
        (replace(ORDINARY, status=0, result="abandoned"), "info"),
        (ORDINARY, "info"),
    ],
    ids=["refused retry", "fault", "refused original", "server error", "caller left", "sampled success"],
)
def test_what_went_wrong_is_a_warning(record: ExchangeRecord, level: str) -> None:
    assert line_of(record)["level"] == level


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/v1/charges?card=4242", "/v1/charges"),
        ("/v1/charges#card=4242", "/v1/charges"),
        ("http://user:4242@payments:8080/v1?card=4242", "http://payments:8080/v1"),
        ("http://a@4242@payments/v1/x@y", "http://payments/v1/x@y"),
        ("http://4242@payments", "http://payments"),
        ("*", "*"),
    ],
)
def test_a_target_shows_neither_query_nor_password(target: str, shown: str) -> None:
    assert line_of(replace(RETRIED, target=target))["target"] == shown


def test_an_endpoint_shows_no_password() -> None:
    record = replace(RETRIED, attempts=(FIRST, replace(SECOND, endpoint="https://user:4242@payments:443")))

    assert line_of(record)["attempts"][1]["endpoint"] == "https://payments:443"


def test_what_a_caller_chooses_is_shortened_and_can_not_steer_a_terminal() -> None:
    record = replace(RETRIED, target="/" + "a" * 100_000, request_id="\x1b[2Jcleared\n\udcff", method="GET\x07")

    line = line_of(record)

    assert len(line["target"]) == 257
    assert line["request_id"] == "\\x1b[2Jcleared\\n\\udcff"
    assert line["method"] == "GET\\x07"


def test_the_console_shows_one_column_per_attempt() -> None:
    with PipedLog(Format.CONSOLE) as piped:
        access_log(piped, Time()).record(RETRIED)

        text = piped.text()

    assert text.count("\n") == 1
    assert "attempt_1='kind=first endpoint=10.0.0.1:8080 503 ms=100.0" in text
    assert "attempt_2='kind=retry endpoint=10.0.0.2:8080 200 ms=50.0" in text


def test_a_storm_of_ten_thousand_is_a_burst_and_a_count() -> None:
    time = Time()
    with PipedLog() as piped:
        log = access_log(piped, time, burst=100)
        for _ in range(10_000):
            log.record(RETRIED)
        ((seconds, report),) = time.armed
        report()

        lines = piped.lines()

    assert seconds == 1.0
    assert [line["event"] for line in lines] == ["exchange"] * 100 + ["lines_dropped"]
    assert lines[-1]["dropped"] == 9_900
    assert piped.log.dropped["rate_limit"] == 9_900


def test_every_second_of_a_storm_is_told() -> None:
    time = Time()
    with PipedLog() as piped:
        log = access_log(piped, time, burst=1)
        for time.now in (0.0, 1.0, 2.0):
            for _ in range(101):
                log.record(RETRIED)
            time.armed.pop()[1]()

        dropped = [line["dropped"] for line in piped.lines() if line["event"] == "lines_dropped"]

    assert time.armed == []
    assert dropped == [100, 100, 100]


def test_nothing_dropped_means_no_timer() -> None:
    time = Time()
    with PipedLog() as piped:
        access_log(piped, time).record(RETRIED)

    assert time.armed == []


def test_a_line_below_the_level_costs_no_token() -> None:
    with PipedLog(level=LogLevel.WARNING) as piped:
        log = access_log(piped, Time(), burst=1)
        log.record(RETRIED)
        log.record(replace(RETRIED, refusal="deadline"))

        assert [line["refusal"] for line in piped.lines()] == ["deadline"]


def test_lines_nobody_reads_are_counted_and_told_when_there_is_room() -> None:
    time = Time()
    with PipedLog() as piped:
        log = access_log(piped, time)
        piped.log.writer.close(10.0)

        log.record(RETRIED)

        assert piped.log.dropped == {"rate_limit": 0, "backpressure": 1}
        assert len(time.armed) == 1
