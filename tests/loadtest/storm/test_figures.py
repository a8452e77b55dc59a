"""Each figure from what was written down, at the case it is there for."""

from dataclasses import replace

import pytest

from loadtest.storm.figures import figures
from loadtest.storm.scenario import Fault
from tests.loadtest.storm.witnesses import HANG, attempt, request, steady


def test_success_is_counted_by_when_the_request_was_made() -> None:
    made = [
        request(0, 1.0),
        request(1, 3.0, seconds=2.0),
        request(2, 3.5, status=503),
        request(3, 4.0),
        request(4, 5.0, status=0),
    ]

    found = figures(HANG, made, [])

    assert (found.before, found.during, found.after) == (1.0, 0.5, 0.5)


def test_amplification_is_attempts_per_request_that_arrived() -> None:
    made = [request(number, 1.0) for number in range(4)]
    tries = [attempt(0, 1.0), attempt(0, 1.1), attempt(1, 1.2)]

    found = figures(HANG, made, tries)

    assert found.amplification == 1.5


def test_the_worst_second_is_the_one_with_the_most_repeats_per_request_made() -> None:
    made = [request(number, 1.5) for number in range(10)] + [request(number, 2.5) for number in range(10, 20)]
    tries = [attempt(number, 1.5) for number in range(10)] + [attempt(number, 2.2) for number in range(5)]

    found = figures(HANG, made, tries)

    assert found.worst_second == 1.5


def test_work_for_nobody_is_wasted() -> None:
    made = [request(0, 1.0), request(1, 1.0, status=0), request(2, 1.0)]
    tries = [attempt(0, 1.0), attempt(1, 1.0), attempt(2, 1.0), attempt(2, 1.2)]

    found = figures(HANG, made, tries)

    assert found.wasted == 0.5


def test_a_post_is_a_duplicate_when_it_was_executed_twice_and_not_when_it_was_turned_away() -> None:
    made = [request(number, 1.0, post=True) for number in range(3)]
    tries = [
        attempt(0, 1.0, post=True),
        attempt(0, 1.2, post=True),
        attempt(1, 1.0, post=True, status=503),
        attempt(1, 1.2, post=True),
        attempt(2, 1.0),
        attempt(2, 1.2),
    ]

    found = figures(HANG, made, tries)

    assert found.duplicates == 1


@pytest.mark.parametrize(("again", "violations"), [(2.9, 1), (3.0, 0), (4.0, 0)])
def test_an_attempt_before_its_retry_after_is_a_violation(again: float, violations: int) -> None:
    tries = [attempt(0, 1.0, status=429, retry_after=2), attempt(0, again)]

    found = figures(HANG, [request(0, 1.0)], tries)

    assert found.violations == violations


def test_recovery_is_when_the_last_bad_quarter_of_a_second_is_over() -> None:
    made = steady(HANG)
    made[84] = replace(made[84], status=503)  # at 4.2 s: in the first slot after the trouble
    made[92] = replace(made[92], status=503)  # at 4.6 s: in the third

    found = figures(HANG, made, [])

    assert found.recovery == 0.75


def test_who_loses_nothing_recovers_at_once() -> None:
    assert figures(HANG, steady(HANG), []).recovery == 0.0


def test_who_still_loses_requests_at_the_end_has_never_recovered() -> None:
    made = [replace(one, status=503) if one.began > 4 else one for one in steady(HANG)]

    assert figures(HANG, made, []).recovery is None


def test_latency_is_of_good_answers() -> None:
    made = [request(0, 1.0, seconds=0.2), request(1, 3.0, seconds=0.4), request(2, 1.0, seconds=3.0, status=0)]

    found = figures(HANG, made, [])

    assert found.p50 == pytest.approx(0.2)
    assert found.p99 == pytest.approx(0.4)
    assert found.p50_during == pytest.approx(0.4)
    assert found.p99_after is None


def test_the_spared_are_those_that_no_fault_names() -> None:
    two = replace(HANG, faults=(Fault(0.0, 2.0, down=True, destination=0),), destinations=2)
    made = [request(0, 3.0, status=503), replace(request(1, 3.0), destination=1)]

    found = figures(two, made, [])

    assert (found.during, found.spared) == (0.5, 1.0)
    assert figures(HANG, made, []).spared is None


def test_the_curves_are_rates_by_when_things_happened() -> None:
    found = figures(HANG, [request(0, 0.9, seconds=0.3)], [attempt(0, 0.9)])

    assert found.goodput[4] == 4.0
    assert found.attempted[3] == 4.0
    assert sum(found.goodput) == sum(found.attempted) == 4.0
    assert len(found.goodput) == 44
