import math

import pytest

from sidecar.engine.latency import (
    BRISK_FACTOR,
    JITTER_SECONDS,
    MAX_GROWTH,
    MAX_PERIOD_SECONDS,
    MIN_SAMPLES,
    PATIENCE_SHARE,
    PERIODS,
    SILENCE_SECONDS,
    SLOW_FACTOR,
    UsualLatency,
)


def fed(usual: UsualLatency, seconds: float, count: int, began: float, apart: float, *, limited: bool = False) -> float:
    """`count` answers, each `apart` seconds; returns the instant after them."""
    for k in range(count):
        usual.total += seconds
        usual.count += 1
        if began + k * apart >= usual.ends:
            usual.end_period(began + k * apart, limited=limited)
    return began + count * apart


def unknown(patience: float = 1.0) -> UsualLatency:
    return UsualLatency(patience, 2.0, 0.0)


def test_before_anything_is_known_nothing_is_slow_and_silence_is_what_it_was_told() -> None:
    usual = unknown()

    assert not usual.known
    assert (usual.slow, usual.silence) == (math.inf, 2.0)


def test_slow_brisk_and_silent_are_multiples_of_the_usual() -> None:
    usual = unknown(patience=0.0)

    fed(usual, 0.1, 100, 0.0, 0.05)

    assert usual.seconds == pytest.approx(0.1)
    assert usual.slow == pytest.approx(SLOW_FACTOR * 0.1 + JITTER_SECONDS)
    assert usual.brisk == pytest.approx(BRISK_FACTOR * 0.1 + JITTER_SECONDS)
    assert usual.silence == pytest.approx(0.4)
    assert usual.rate == pytest.approx(20.0, rel=0.1)
    assert usual.in_flight == pytest.approx(2.0, rel=0.1)


def test_what_is_no_threat_to_a_caller_is_not_slow() -> None:
    usual = unknown(patience=12.0)

    fed(usual, 0.01, 100, 0.0, 0.05)

    assert usual.slow == 12.0 * PATIENCE_SHARE
    assert usual.silence >= SILENCE_SECONDS


def test_a_quiet_destination_has_a_usual_latency_too() -> None:
    usual = unknown()

    fed(usual, 0.1, MIN_SAMPLES + 2, 0.0, 1.0)

    assert usual.known


def test_the_usual_is_forgotten_after_all_periods_that_are_kept() -> None:
    usual = unknown()

    now = fed(usual, 0.01, 200, 0.0, 0.05)
    fed(usual, 0.1, 200 * PERIODS, now, 0.05)

    assert usual.seconds == pytest.approx(0.1)


def test_one_period_that_a_hang_made_longer_changes_nothing() -> None:
    usual = unknown()
    now = fed(usual, 0.5, 160, 0.0, 0.05)
    before = usual.in_flight

    fed(usual, 0.5, 60, now + 10.0, 0.05)

    assert usual.in_flight == pytest.approx(before, rel=0.1)


def test_under_a_limit_the_usual_may_double_and_no_more_for_a_while() -> None:
    usual = unknown()
    now = fed(usual, 0.01, 200, 0.0, 0.05)

    fed(usual, 1.0, int((MAX_PERIOD_SECONDS - 5) / 0.05), now, 0.05, limited=True)

    assert usual.seconds == pytest.approx(MAX_GROWTH * 0.01)


def test_what_a_limit_lets_through_is_no_measure_of_what_is_asked_for() -> None:
    usual = unknown()
    now = fed(usual, 0.01, 400, 0.0, 0.05)

    fed(usual, 0.01, 40, now, 0.5, limited=True)

    assert usual.rate == pytest.approx(20.0, rel=0.1)


def test_what_was_proven_is_usual_at_once() -> None:
    usual = unknown()
    fed(usual, 0.01, 200, 0.0, 0.05)

    usual.relearn(2.0, 40.0, 10.0)

    assert (usual.seconds, usual.in_flight) == (2.0, 40.0)


def test_a_period_of_few_answers_goes_on() -> None:
    usual = unknown()

    for k in range(MIN_SAMPLES - 1):
        usual.total += 0.1
        usual.count += 1
        usual.end_period(2.0 * (k + 1), limited=False)
    before = usual.known
    usual.total += 0.1
    usual.count += 1
    usual.end_period(2.0 * MIN_SAMPLES, limited=False)

    assert not before
    assert usual.known


def test_where_callers_wait_for_long_a_silence_is_long_once_the_usual_is_known() -> None:
    usual = unknown(patience=60.0)

    fed(usual, 0.01, 100, 0.0, 0.05)

    assert usual.silence == (60.0 - 10.0) / 4
