"""What a stretch of time came to; the estimate against the formula, and against a fleet without controls."""

import math

import pytest
from msgspec import structs

from sidecar.watch.incident import Incident, Span, incident, incidents
from tests.watch.documents import BEGAN, after_a_hang, after_a_storm, rows

STATE = after_a_storm().destinations[0]


def told(begins: float = 0.0, ends: float = 90.0) -> Incident:
    return incidents(after_a_storm(), BEGAN + begins, BEGAN + ends)[0]


def test_the_destination_in_trouble_comes_first() -> None:
    assert told().name == "payments"


def test_sums_are_those_of_the_rows_in_the_span() -> None:
    history = after_a_storm().history
    one = told(40, 80)

    assert one.requests == sum(history.column("payments", "requests")[40:80])
    assert one.retries == sum(history.column("payments", "retry")[40:80])
    assert len(one.curves.times) == 40


def test_an_outage_is_one_episode_with_its_begin_and_end() -> None:
    (episode,) = told().episodes

    assert episode.callers.begins == pytest.approx(BEGAN + 45, abs=1.1)
    assert episode.callers.ends == pytest.approx(BEGAN + 71, abs=2.1)
    assert episode.dependency is not None
    assert episode.dependency.begins == pytest.approx(BEGAN + 45, abs=1.1)
    assert episode.dependency.ends == pytest.approx(BEGAN + 70, abs=1.1)
    assert episode.recovery is not None
    assert episode.recovery <= 2.0
    assert episode.bad > 0.9 * episode.requests


def test_a_hang_is_an_episode_too() -> None:
    (episode,) = incidents(after_a_hang(), BEGAN, BEGAN + 90)[0].episodes

    assert BEGAN + 63 <= episode.callers.begins <= BEGAN + 70
    assert episode.callers.ends <= BEGAN + 80


def test_attempts_held_back_are_the_refusals_of_budget_breaker_and_limit() -> None:
    one = told()

    assert one.held_back == sum(
        count
        for reason, count in one.refusals.items()
        if reason in {"budget_exhausted", "breaker_open", "concurrency_limit"}
    )
    assert one.held_back > 300


def test_the_breaker_is_told_from_the_state_at_the_begin() -> None:
    one = told(50, 60)

    assert one.breaker[0] == (BEGAN + 50, "open")
    assert one.times_opened >= 5
    assert 8 < one.open_seconds <= 10


def test_the_estimate_is_the_formula() -> None:
    history = rows(
        {
            "requests": [100, 100, 100, 50],
            "first": [100, 100, 0, 50],
            "failed_attempts": [0, 50, 0, 50],
            "failed": [0, 50, 100, 50],
            "amplification": [1.0] * 4,
            "bound": [1.1] * 4,
        }
    )
    state = structs.replace(STATE, limits=structs.replace(STATE.limits, max_attempts=3))

    one = incident(history, state, Span(BEGAN, BEGAN + 4))

    assert one is not None
    assert one.curves.without == [100.0, 175.0, 175.0, 150.0]
    assert one.without == 600.0


@pytest.mark.parametrize("failing", [0.0, 0.2, 0.7, 1.0])
def test_the_estimate_is_what_independent_tries_come_to(failing: float) -> None:
    history = rows({"requests": [1000], "first": [1000], "failed_attempts": [1000 * failing], "amplification": [1.0]})
    one = incident(history, STATE, Span(BEGAN, BEGAN + 1))
    tries = STATE.limits.max_attempts
    expected = sum(
        attempt * (failing ** (attempt - 1)) * (1 - failing if attempt < tries else 1)
        for attempt in range(1, tries + 1)
    )

    assert one is not None
    assert one.without == pytest.approx(1000 * expected)


def test_bad_seconds_less_than_ten_apart_are_one_episode_and_more_are_two() -> None:
    bad = [9, 0, 0, 0, 0, 9, *[0] * 11, 9]
    history = rows({"requests": [10] * 18, "first": [10] * 18, "failed": list(bad), "failed_attempts": list(bad)})

    one = incident(history, STATE, Span(BEGAN, BEGAN + 18))

    assert one is not None
    assert [(e.callers.begins - BEGAN, e.callers.ends - BEGAN) for e in one.episodes] == [(0.0, 6.0), (17.0, 18.0)]


def test_one_failure_among_few_is_no_episode() -> None:
    history = rows({"requests": [2] * 5, "first": [2] * 5, "failed": [0, 1, 0, 0, 0]})

    one = incident(history, STATE, Span(BEGAN, BEGAN + 5))

    assert one is not None
    assert one.episodes == []


def test_trouble_of_our_own_making_has_no_time_to_recover() -> None:
    history = rows({"requests": [10] * 3, "refused": [10] * 3})

    one = incident(history, STATE, Span(BEGAN, BEGAN + 3))

    assert one is not None
    assert one.episodes[0].dependency is None
    assert one.episodes[0].recovery is None
    assert one.amplification is None


def test_a_row_that_covers_more_seconds_is_no_peak() -> None:
    history = rows({"requests": [10, 50], "first": [10, 50]})
    history.times[1] += 4

    one = incident(history, STATE, Span(BEGAN, BEGAN + 10))

    assert one is not None
    assert one.curves.requests == [10.0, 10.0]


def test_nothing_asked_is_no_incident() -> None:
    history = rows({"requests": [0] * 3})

    assert incident(history, STATE, Span(BEGAN, BEGAN + 3)) is None
    assert incident(history, STATE, Span(BEGAN + 100, BEGAN + 103)) is None
    assert math.isfinite(told().without)
