"""The verdict answers: am I amplifying, towards whom, why were retries refused."""

import pytest
from msgspec.structs import replace

from sidecar.telemetry.headline import Level, Standing, headline

CALM = Standing(
    name="payments",
    seconds=10.0,
    requests=4120,
    bad=0,
    retries=0,
    amplification=1.0,
    bound=1.1,
    breaker="closed",
    in_flight=2,
    silent=0.0,
    per_attempt_timeout=2.0,
    refusals={},
)
FAILING = replace(CALM, requests=500, bad=310, retries=50, amplification=1.1, refusals={"budget_exhausted": 312})


def test_calm_says_the_attempts_per_request_and_the_traffic() -> None:
    told = headline([CALM])

    assert told.level is Level.CALM
    assert told.words == "Calm: 1.00 attempts per request"
    assert told.detail == "412 requests/s to payments; no retries, none failed in the last 10 seconds"
    assert told.towards == ()


def test_calm_over_several_destinations_weighs_them_by_their_requests() -> None:
    told = headline([replace(CALM, requests=300), replace(CALM, requests=100, amplification=1.08, retries=8)])

    assert told.words == "Calm: 1.02 attempts per request"
    assert "2 destinations; 8 retries" in told.detail


def test_failing_says_who_how_much_what_retries_add_and_why_others_were_refused() -> None:
    told = headline([CALM, replace(FAILING, name="ledger")])

    assert told.level is Level.FAILING
    assert told.words == "ledger is failing: 62 % of requests"
    assert told.detail == "retries held to 1.10 attempts per request; 312 refused: budget_exhausted"
    assert told.towards == ("ledger",)


def test_several_reasons_are_named_the_most_frequent_first() -> None:
    refusals = {"breaker_open": 1200, "budget_exhausted": 40, "deadline": 3, "not_idempotent": 1}

    told = headline([replace(FAILING, amplification=1.0, refusals=refusals)])

    assert told.detail == (
        "no retries are adding to its load; 1,244 refused: breaker_open 1,200, budget_exhausted 40, deadline 3, …"
    )


@pytest.mark.parametrize(
    ("requests", "bad", "share"),
    [
        (500, 500, "all requests"),
        (500, 498, "nearly all requests"),
        (500, 250, "50 % of requests"),
        (4, 3, "3 of 4 requests"),
    ],
)
def test_the_share_is_told_as_one_would_say_it(requests: int, bad: int, share: str) -> None:
    told = headline([replace(FAILING, requests=requests, bad=bad)])

    assert told.words == f"payments is failing: {share}"


def test_several_that_fail_are_one_sentence_the_one_with_most_extra_load_first() -> None:
    worst = replace(FAILING, name="ledger", requests=900, bad=900)

    assert headline([FAILING, worst]).words.startswith("ledger and payments are failing: ")
    assert headline([FAILING, worst, replace(FAILING, name="mail")]).words.startswith("ledger and 2 others are ")


def test_a_few_failures_among_many_requests_are_calm() -> None:
    told = headline([replace(CALM, bad=100)])

    assert told.level is Level.CALM
    assert "100 failed" in told.detail


def test_amplification_is_said_before_everything_else_with_its_bound() -> None:
    told = headline([FAILING, replace(FAILING, name="ledger", amplification=2.31)])

    assert told.level is Level.AMPLIFYING
    assert told.words == "Amplifying towards ledger: 2.31 attempts per request, over its bound of 1.10"
    assert told.detail == "ledger is failing: 62 % of requests; 312 refused: budget_exhausted"


def test_amplification_that_an_exception_allows_is_said_to_be_within_its_bound() -> None:
    told = headline([replace(CALM, amplification=1.31, bound=1.35)])

    assert told.words == "Amplifying towards payments: 1.31 attempts per request, within its bound of 1.35"
    assert told.detail == ""


def test_one_retry_of_one_request_is_no_amplification() -> None:
    assert headline([replace(CALM, requests=1, amplification=2.0)]).level is Level.CALM


def test_a_destination_that_does_not_answer_is_not_calm() -> None:
    told = headline([replace(CALM, requests=0, in_flight=40, silent=5.0)])

    assert told.level is Level.UNSETTLED
    assert told.words == "payments is not answering: 40 in flight, no answer for 5 s or more"


def test_one_slow_answer_is_not_silence() -> None:
    assert headline([replace(CALM, requests=0, in_flight=1, silent=2.0)]).level is Level.CALM
    assert headline([replace(CALM, in_flight=0, silent=9.0)]).level is Level.CALM


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("open", "payments is left alone: its breaker is open"),
        ("half_open", "payments is being probed: its breaker is half-open"),
        ("recovering", "payments is recovering: its breaker lets traffic back in"),
    ],
)
def test_a_breaker_that_is_not_closed_is_told(state: str, words: str) -> None:
    assert headline([replace(CALM, breaker=state)]).words == words


def test_without_traffic_it_is_quiet() -> None:
    idle = replace(CALM, requests=0, in_flight=0)

    assert headline([idle]).words == "Quiet: no requests in the last 10 seconds"
    assert headline([idle]).detail == "payments is ready to be called"
    assert headline([idle, idle]).detail == "2 destinations are ready to be called"
    assert headline([]).detail == "No destination is named"


def test_slow_traffic_is_told_by_the_minute() -> None:
    assert headline([replace(CALM, requests=5)]).detail.startswith("30 requests/min to payments")


def test_few_requests_are_too_few_to_judge() -> None:
    told = headline([replace(CALM, requests=3, retries=6, amplification=3.0, bound=3.0)])

    assert told.level is Level.CALM
    assert told.words == "Calm: 3 requests in the last 10 seconds, too few to judge"


def test_an_exhausted_budget_of_a_quiet_destination_says_its_arithmetic() -> None:
    told = headline([replace(FAILING, requests=6, bad=6, refusals={"budget_exhausted": 4})])

    assert told.detail.endswith("4 refused: budget_exhausted (its budget of 10 s: 3 + 0.1 x 6 requests = 3.6 retries)")


def test_a_destination_that_answers_well_what_it_is_sent_is_held_back_by_us() -> None:
    limited = replace(
        CALM, requests=400, bad=90, refused=90, in_flight=8, limit=8.4, waiting=20, refusals={"concurrency_limit": 90}
    )

    told = headline([CALM, replace(limited, name="ledger")])

    assert told.level is Level.LIMITING
    assert told.words == "Held back by our in-flight limit, not by ledger: 90 not sent in the last 10 seconds"
    assert told.detail == (
        "310 of 310 sent were answered well; 8 in flight of 8, 20 waiting; see /refusals/concurrency_limit"
    )
    assert told.towards == ("ledger",)


def test_requests_that_wait_second_after_second_are_held_back_before_any_is_refused() -> None:
    told = headline([replace(CALM, held=6, in_flight=4, limit=4.0, waiting=9)])

    assert told.level is Level.LIMITING
    assert "requests waited for a slot in 6 of the last 10 seconds" in told.words


@pytest.mark.parametrize(
    "trouble", [{"failed": 40}, {"breaker": "open"}, {"silent": 5.0, "in_flight": 4}], ids=["failing", "open", "silent"]
)
def test_a_destination_in_trouble_is_not_blamed_on_our_limit(trouble: dict[str, object]) -> None:
    limited = replace(CALM, requests=400, bad=130, refused=90, refusals={"concurrency_limit": 90})

    told = headline([replace(limited, **trouble)])

    assert told.level is not Level.LIMITING
