import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.cli.forecast import DECIDING, Outcome, forecast, repeatable, way_of
from sidecar.engine.destination import UNLISTED
from sidecar.engine.outcome import Fault
from sidecar.engine.policy import DestinationPolicy, RetryPolicy
from sidecar.engine.verdict import Refusal
from sidecar.governance.documents.settings import SETTINGS
from sidecar.governance.policy.snapshot import load
from sidecar.wire.head import RequestHead
from sidecar.wire.reader import RequestReader
from tests.fakes.documents import POLICY, SIDECAR

NOW = datetime(2026, 12, 1, tzinfo=UTC)
HONOURED = "destinations:\n  payments: {idempotency_key: {honours: true, retention: 24h}}\n"


@pytest.fixture(autouse=True)
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")


def head(method: str = "GET", host: str = "payments", *headers: str) -> RequestHead:
    lines = [f"{method} http://{host}/ HTTP/1.1", f"Host: {host}", *headers, "", ""]
    read = RequestReader().feed("\r\n".join(lines).encode())
    assert read is not None
    return read


def head_of(path: str) -> RequestHead:
    read = RequestReader().feed(f"GET http://payments{path} HTTP/1.1\r\nHost: payments\r\n\r\n".encode())
    assert read is not None
    return read


def way(text: str = SIDECAR, request: RequestHead | None = None):  # type: ignore[no-untyped-def]
    Path("sidecar.yaml").write_text(text, encoding="utf-8")
    return way_of(request or head(), load(Path("sidecar.yaml"), NOW))


def answer(status: int, retry_after: float | None = None, *, took: float = 0.0, rate: float = 100.0) -> Outcome:
    return Outcome(status, None, retry_after, took, rate)


def refusals(turns) -> list[Refusal | None]:  # type: ignore[no-untyped-def]
    return [turn.refusal for turn in turns]


def test_every_refusal_follows_from_settings_that_there_are() -> None:
    assert DECIDING.keys() == set(Refusal)
    for settings in DECIDING.values():
        assert set(settings) <= SETTINGS.keys()


def test_a_host_leads_to_its_destination_and_others_nowhere_or_to_the_defaults() -> None:
    assert way().name == "payments"
    assert way(request=head("GET", "elsewhere")).name == UNLISTED
    assert way(SIDECAR + "egress: {unlisted: refuse}\n", head("GET", "elsewhere")) is None


def test_a_host_is_found_as_the_proxy_finds_it_by_its_port_and_in_any_spelling() -> None:
    ledger = '  ledger:\n    endpoints: ["http://payments:9001"]\n'

    assert way(SIDECAR + ledger, head("GET", "payments:9001")).name == "ledger"
    assert way(SIDECAR + ledger, head("GET", "payments.")).name == "payments"


@pytest.mark.parametrize(
    ("method", "headers", "policy", "until"),
    [
        ("GET", (), POLICY, math.inf),
        ("POST", (), POLICY, -math.inf),
        ("POST", ("Idempotency-Key: 1",), POLICY, -math.inf),
        ("POST", ("Idempotency-Key: 1",), POLICY + HONOURED, 86400.0),
        ("POST", ("Idempotency-Key: 1", "Idempotency-Key: 2"), POLICY + HONOURED, -math.inf),
        ("POST", (), POLICY + HONOURED, 86400.0),
    ],
)
def test_what_is_safe_to_repeat_is_what_the_proxy_takes_for_it(
    method: str, headers: tuple[str, ...], policy: str, until: float
) -> None:
    Path("policy.yaml").write_text(policy, encoding="utf-8")
    request = head(method, "payments", *headers)

    assert repeatable(request, way(SIDECAR, request))[0] == until


def test_the_range_of_the_back_off_is_that_of_the_policy() -> None:
    turns = forecast(way(), math.inf, 0, answer(503, took=1.1)).turns

    assert [turn.waits and (turn.waits[0], round(turn.waits[1], 6)) for turn in turns] == [
        (0.0, 0.025),
        (0.0, 0.05),
        None,
    ]
    assert refusals(turns) == [None, None, Refusal.ATTEMPTS_EXHAUSTED]


def test_a_retry_after_is_waited_for_and_never_undercut() -> None:
    low, high = forecast(way(), math.inf, 0, answer(503, 2.0)).turns[0].waits or (0.0, 0.0)

    assert 2.0 == low < high <= 2.025


@pytest.mark.parametrize(
    ("until", "body", "outcome", "refusal"),
    [
        (-math.inf, 0, answer(503), Refusal.NOT_IDEMPOTENT),
        (math.inf, 65537, answer(503), Refusal.NOT_REPLAYABLE),
        (math.inf, 0, answer(429, 60.0), Refusal.RETRY_AFTER_TOO_LONG),
        (math.inf, 0, answer(503, 10.0, took=0.1), Refusal.DEADLINE),
        (math.inf, 0, answer(404), None),
        (math.inf, 0, answer(200), None),
        (-math.inf, 0, Outcome(None, Fault.RESET, None, 0.0, 100.0), Refusal.NOT_IDEMPOTENT),
        (math.inf, 0, Outcome(None, Fault.PROTOCOL, None, 0.0, 100.0), None),
    ],
)
def test_the_first_refusal_is_the_engines(until: float, body: int, outcome: Outcome, refusal: Refusal | None) -> None:
    turn = forecast(way(), until, body, outcome).turns[0]

    assert (turn.waits, turn.refusal) == (None, refusal)


def test_what_never_left_is_sent_again_whatever_the_method() -> None:
    turns = forecast(way(), -math.inf, 0, Outcome(None, Fault.CONNECT_FAILURE, None, 0.5, 100.0)).turns

    assert turns[0].waits is not None


def test_a_destination_without_traffic_pays_for_one_retry_at_once() -> None:
    assert refusals(forecast(way(), math.inf, 0, answer(503, rate=0.0)).turns) == [None, Refusal.BUDGET_EXHAUSTED]


def test_a_refusal_that_only_a_long_back_off_leads_to_is_told_apart() -> None:
    found = way(SIDECAR + "    overrides: {timeout: 1060ms}\n")

    turn = forecast(found, math.inf, 0, answer(503, took=1.0)).turns[0]

    assert (turn.refusal, turn.perhaps) == (None, Refusal.DEADLINE)


LIMIT = SIDECAR + "    overrides: {timeout: 15s}\n"


@pytest.mark.parametrize(
    ("took", "status", "delivered", "attempts", "seconds"),
    [
        (1.0, 200, 1, 1, (1.0, 1.0)),
        (5.0, 200, 1, 2, (5.0, 5.0)),  # late after 2 s, and answered before its retry
        (20.0, 504, 2, 2, (15.0, 15.0)),
    ],
)
def test_a_late_attempt_goes_on_beside_its_retry_to_the_deadline(
    took: float, status: int, delivered: int, attempts: int, seconds: tuple[float, float]
) -> None:
    expected = forecast(way(LIMIT), math.inf, 0, answer(200, took=took))

    assert (expected.status, expected.delivered, len(expected.turns)) == (status, delivered, attempts)
    assert expected.seconds == pytest.approx(seconds)
    assert [turn.late_after for turn in expected.turns] == [pytest.approx(2.0) if took > 2.0 else None] * attempts


def test_an_unsafe_write_that_takes_long_is_awaited() -> None:
    expected = forecast(way(LIMIT), -math.inf, 0, answer(200, took=5.0))

    assert (expected.status, expected.delivered, refusals(expected.turns)) == (200, 1, [Refusal.NOT_IDEMPOTENT])


def test_a_route_decides_where_there_is_one() -> None:
    match = "{methods: [GET], path: '/reports/{id}'}"
    routes = f"    routes: [{{name: reports, match: {match}, timeout: 30s, per_attempt_timeout: 25s}}]\n"
    found = way(LIMIT + routes, head_of("/reports/7?full=1"))

    expected = forecast(found, math.inf, 0, answer(200, took=20.0))

    assert "on its route reports" in found.because
    assert (expected.status, expected.delivered, len(expected.turns)) == (200, 1, 1)
    assert way(LIMIT + routes, head_of("/other")).policy.timeout == 15.0


def test_an_attempt_that_hangs_is_given_up_only_for_a_retry() -> None:
    timed_out = Outcome(None, Fault.TIMEOUT, None, 0.0, 100.0)

    assert forecast(way(), math.inf, 0, timed_out).turns[0].waits is not None
    assert refusals(forecast(way(), -math.inf, 0, timed_out).turns) == [Refusal.NOT_IDEMPOTENT]


def test_the_policy_that_decides_is_the_destinations() -> None:
    assert way().policy == DestinationPolicy(retry=RetryPolicy())


@pytest.mark.parametrize(
    ("fields", "seconds", "why"),
    [
        (["Content-Type: application/json"], 86400.0, "its key stands in the field /idempotency_key of its JSON body"),
        ([], -math.inf, "payments wants the key in the field /idempotency_key of its JSON body"),
    ],
)
def test_a_key_that_stands_in_the_body_is_said_to(fields: list[str], seconds: float, why: str) -> None:
    Path("policy.yaml").write_text(POLICY + HONOURED, encoding="utf-8")
    request = head("POST", "payments", *fields)

    found = repeatable(request, way(SIDECAR + "    idempotency_key: {preset: square}\n", request))

    assert found[0] == seconds
    assert found[1].startswith(why)
