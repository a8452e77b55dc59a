"""Notable exchanges become lines, ordinary ones do not, secrets never; a storm of them is no second outage."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sidecar.engine.record import AttemptRecord, ExchangeRecord
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.line_limit import LineLimit
from sidecar.telemetry.log import Format, Level
from tests.telemetry.logs import PipedLog

FIRST = AttemptRecord(number=1, kind="first", endpoint="10.0.0.1:8080", outcome="503", seconds=0.1, backoff=0.0)
SECOND = AttemptRecord(number=2, kind="retry", endpoint="10.0.0.2:8080", outcome="200", seconds=0.05, backoff=0.0213)

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
class Timers:
    armed: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.armed.append((seconds, callback))


def access_log(
    piped: PipedLog, *, burst: int = 100, sample: float = 0.0, rand: float = 0.5, timers: Timers | None = None
) -> AccessLog:
    later = (timers or Timers()).call_later
    return AccessLog(piped.log, LineLimit(50, burst, 0.0), later, lambda: rand, slow=1.0, sample=sample)


def line_of(record: ExchangeRecord) -> dict[str, Any]:
    with PipedLog() as piped:
        access_log(piped).write(record, 0.0)
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
        "ms": 50.0,
        "attempts": [
            {"n": 1, "kind": "first", "endpoint": "10.0.0.1:8080", "outcome": "503", "ms": 100.0, "backoff_ms": 0.0},
            {"n": 2, "kind": "retry", "endpoint": "10.0.0.2:8080", "outcome": "200", "ms": 50.0, "backoff_ms": 21.3},
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
        (replace(ORDINARY, seconds=1.0), "info"),
    ],
    ids=["refused retry", "fault", "refused original", "server error", "caller left", "slow"],
)
def test_a_notable_exchange_is_a_line(record: ExchangeRecord, level: str) -> None:
    assert line_of(record)["level"] == level


@pytest.mark.parametrize(
    "record", [ORDINARY, replace(ORDINARY, status=404, result="client_error")], ids=["success", "client error"]
)
def test_an_ordinary_exchange_is_no_line(record: ExchangeRecord) -> None:
    with PipedLog() as piped:
        access_log(piped).write(record, 0.0)

        assert piped.text() == ""


@pytest.mark.parametrize(("rand", "lines"), [(0.0, 1), (0.249, 1), (0.25, 0)])
def test_ordinary_exchanges_are_sampled(rand: float, lines: int) -> None:
    with PipedLog() as piped:
        access_log(piped, sample=0.25, rand=rand).write(ORDINARY, 0.0)

        assert len(piped.lines()) == lines


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
        access_log(piped).write(RETRIED, 0.0)

        text = piped.text()

    assert text.count("\n") == 1
    assert "attempt_1='kind=first endpoint=10.0.0.1:8080 503 ms=100.0" in text
    assert "attempt_2='kind=retry endpoint=10.0.0.2:8080 200 ms=50.0" in text


def test_a_storm_of_ten_thousand_is_a_burst_and_a_count() -> None:
    timers = Timers()
    with PipedLog() as piped:
        log = access_log(piped, burst=100, timers=timers)
        for _ in range(10_000):
            log.write(RETRIED, 0.0)
        ((seconds, report),) = timers.armed
        report()

        lines = piped.lines()

    assert seconds == 1.0
    assert [line["event"] for line in lines] == ["exchange"] * 100 + ["lines_dropped"]
    assert lines[-1]["dropped"] == 9_900
    assert piped.log.dropped["rate_limit"] == 9_900


def test_every_second_of_a_storm_is_told() -> None:
    timers = Timers()
    with PipedLog() as piped:
        log = access_log(piped, burst=1, timers=timers)
        for second in (0.0, 1.0, 2.0):
            for _ in range(101):
                log.write(RETRIED, second)
            timers.armed.pop()[1]()

        dropped = [line["dropped"] for line in piped.lines() if line["event"] == "lines_dropped"]

    assert timers.armed == []
    assert dropped == [100, 100, 100]


def test_nothing_dropped_means_no_timer() -> None:
    timers = Timers()
    with PipedLog() as piped:
        access_log(piped, timers=timers).write(RETRIED, 0.0)

    assert timers.armed == []


def test_a_line_below_the_level_costs_no_token() -> None:
    with PipedLog(level=Level.WARNING) as piped:
        log = access_log(piped, burst=1)
        log.write(RETRIED, 0.0)
        log.write(replace(RETRIED, refusal="deadline"), 0.0)

        assert [line["refusal"] for line in piped.lines()] == ["deadline"]


def test_lines_nobody_reads_are_counted_and_told_when_there_is_room() -> None:
    timers = Timers()
    with PipedLog() as piped:
        log = access_log(piped, timers=timers)
        piped.log.writer.close(10.0)

        log.write(RETRIED, 0.0)

        assert piped.log.dropped == {"rate_limit": 0, "backpressure": 1}
        assert len(timers.armed) == 1


@pytest.mark.parametrize(("slow", "sample", "field"), [(0.0, 0.0, "slow"), (1.0, -0.1, "sample"), (1.0, 1.1, "sample")])
def test_a_setting_out_of_range_is_refused(slow: float, sample: float, field: str) -> None:
    with PipedLog() as piped, pytest.raises(ValueError, match=field):
        AccessLog(piped.log, LineLimit(1, 1, 0.0), Timers().call_later, lambda: 0.0, slow=slow, sample=sample)
