"""What the page, the terminal and the report are told: the same numbers as everywhere, with the time of day."""

import json
from typing import Any

from msgspec.structs import replace

from sidecar.admin.live import Live, encode
from sidecar.engine.policy import BreakerPolicy, DestinationPolicy
from sidecar.telemetry.history import History
from sidecar.telemetry.record import AttemptRecord
from tests.admin.states import SetState
from tests.telemetry.test_history import RECORD, Clock, Scene

AHEAD = 1_790_000_000.0 - 100.0


def live_of(scene: Scene) -> Live:
    state = SetState(destinations={"payments": scene.payments}, history=scene.history)
    return Live(state, scene.clock, lambda: scene.clock.now + AHEAD)


def plain(message: object) -> Any:
    return json.loads(encode(message))


def test_rows_come_with_their_number_and_the_time_of_day() -> None:
    scene = Scene()
    for status in (200, 503):
        scene.request(status)
        scene.turn()
    live = live_of(scene)

    message = plain(live.rows(["payments"], 0))

    assert message["first"] == 0
    assert message["times"] == [101.0 + AHEAD, 102.0 + AHEAD]
    assert message["series"]["payments"]["failed"] == [0, 1]
    assert message["series"]["payments"]["refusal.not_idempotent"] == [0, 1]


def test_a_quantile_of_nothing_is_null() -> None:
    scene = Scene()
    scene.payments.limiter.in_flight = 1
    scene.turn()

    message = plain(live_of(scene).rows(["payments"], 0))

    assert message["series"]["payments"]["p99"] == [None]


def test_transitions_begin_with_the_state_before_them_and_have_the_time_of_day() -> None:
    scene = Scene(DestinationPolicy(breaker=BreakerPolicy(consecutive_failures=1)))
    scene.request(503)
    scene.turn()

    message = plain(live_of(scene).rows(["payments"], 0))

    assert message["transitions"]["payments"] == [[None, "closed"], [100.01 + AHEAD, "open"]]


def test_now_tells_the_verdict_and_each_destination_with_the_counts_of_metrics() -> None:
    scene = Scene()
    for status in (200, 200, 200, 503):
        scene.request(status)
    scene.turn()

    now = plain(live_of(scene).now())
    (payments,) = now["destinations"]

    assert now["headline"]["words"] == "payments is failing: 1 of 4 requests"
    assert now["headline"]["towards"] == ["payments"]
    assert now["undeclared"] == {"POST": 5}
    assert now["bypassing"] == {"payments": 1}
    assert payments["level"] == "failing"
    assert payments["requests"] == scene.payments.tally.requests_total == 4
    assert payments["attempts"] == scene.payments.tally.attempts_total == 4
    assert payments["lately"]["refusals"] == {"not_idempotent": 1}
    assert payments["lately"]["bound"] == 1.85
    assert payments["limits"]["budget_ratio"] == 0.1


def test_a_destination_before_its_first_request_is_told_too() -> None:
    now = plain(live_of(Scene()).now())

    assert now["destinations"][0]["level"] == "idle"
    assert now["destinations"][0]["lately"]["amplification"] == 1.0


def test_an_exchange_is_told_with_each_attempts_place_in_time_and_long_text_is_cut() -> None:
    scene = Scene()
    attempts = (
        AttemptRecord(1, "first", "http://10.0.0.1:80", "503", 0.004, 0.0, 0.001),
        AttemptRecord(2, "retry", "http://10.0.0.2:80", "200", 0.003, 0.012, 0.017),
    )
    scene.history.record(replace(RECORD, attempts=attempts, target="/" + "x" * 5000))

    (told,) = plain(live_of(scene).now())["exchanges"]

    assert told["at"] == 100.0 + AHEAD
    assert [(one["began"], one["seconds"], one["backoff"]) for one in told["attempts"]] == [
        (0.001, 0.004, 0.0),
        (0.017, 0.003, 0.012),
    ]
    assert len(told["target"]) == 200


def test_only_exchanges_that_are_new_are_told_again() -> None:
    scene = Scene()
    for name in ("old", "new"):
        scene.history.record(replace(RECORD, request_id=name))
    live = live_of(scene)

    assert [one["request_id"] for one in plain(live.now(1))["exchanges"]] == ["new"]


async def test_the_document_has_everything() -> None:
    scene = Scene()
    for _ in range(30):
        scene.request(200)
        scene.turn()

    document = json.loads(await live_of(scene).document())
    short = json.loads(await live_of(scene).document(10))

    assert document["history"]["series"]["payments"]["requests"] == [1] * 30
    assert len(document["history"]["times"]) == 30
    assert document["history"]["transitions"] == {"payments": [[None, "closed"]]}
    assert (short["history"]["first"], len(short["history"]["times"])) == (20, 10)
    assert {"headline", "destinations", "exchanges", "addresses", "policy", "epoch", "version"} <= set(document)


async def test_the_document_of_a_process_that_has_just_begun() -> None:
    clock = Clock()
    state = SetState(history=History(clock))

    document = json.loads(await Live(state, clock, lambda: 5.0).document())

    assert document["history"] == {"first": 0, "times": [], "series": {}, "transitions": {}, "transitions_lost": {}}


def test_the_policy_that_is_broken_is_told_with_its_line() -> None:
    scene = Scene()
    state = SetState(destinations={"payments": scene.payments}, history=scene.history)
    state.reloads = replace(state.reloads, error="policy.yaml:12: budget.ratio: must be at most 0.2, got 0.9")

    now = plain(Live(state, scene.clock, lambda: 0.0).now())

    assert now["policy"]["error"].startswith("policy.yaml:12")
    assert now["policy"]["version"] == 7
