"""A burst at once, a rate for long, and everything else counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry.line_limit import LineLimit


def test_a_burst_is_written_and_the_rest_is_counted() -> None:
    limit = LineLimit(rate=50, burst=100, now=0.0)

    taken = [limit.take(0.0) for _ in range(10_000)]

    assert sum(taken) == 100
    assert all(taken[:100])
    assert limit.dropped == 9_900


def test_tokens_come_back_at_the_rate() -> None:
    limit = LineLimit(rate=50, burst=1, now=0.0)
    limit.take(0.0)

    assert [limit.take(now) for now in (0.01, 0.025, 0.03, 0.05)] == [False, True, False, True]


def test_a_long_silence_saves_no_more_than_a_burst() -> None:
    limit = LineLimit(rate=50, burst=3, now=0.0)

    taken = [limit.take(3600.0) for _ in range(10)]

    assert sum(taken) == 3


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 30))
def test_under_a_constant_storm_no_more_than_burst_and_rate_get_through(rate: int, burst: int, seconds: int) -> None:
    limit = LineLimit(rate=rate, burst=burst, now=0.0)

    taken = sum(limit.take(tick / 500) for tick in range(seconds * 500))

    assert taken <= burst + rate * seconds
    assert taken + limit.dropped == seconds * 500


@pytest.mark.parametrize(("rate", "burst", "field"), [(0, 1, "rate"), (-1, 1, "rate"), (1, 0, "burst")])
def test_a_limit_that_lets_nothing_through_is_refused(rate: float, burst: int, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        LineLimit(rate=rate, burst=burst, now=0.0)
