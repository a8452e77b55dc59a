"""Quantiles and quotients of one run."""

from math import isnan

import pytest

from loadtest.load import Load, quantile


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)],
)
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(share: float, expected: float) -> None:
    values = list(range(100, 0, -1))

    assert quantile(values, share) == expected


def test_a_quantile_of_nothing_is_not_a_number() -> None:
    assert isnan(quantile([], 0.5))


def test_a_run_without_a_right_answer_has_no_cost_per_request() -> None:
    load = Load(requests=0, errors={"status 503": 9}, seconds=2.0, cpu_seconds=1.0, p50=0.0, p99=0.0)

    assert isnan(load.cpu_per_request)
    assert load.rate == 0.0
    assert load.busy == 0.5
