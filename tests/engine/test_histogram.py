import pytest

from sidecar.engine.histogram import SECONDS, Histogram
from sidecar.engine.policy import DestinationPolicy


def histogram_of(*values: float, bounds: tuple[float, ...] = (1.0, 2.0, 4.0)) -> Histogram:
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    return histogram


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, 0), (1.0, 0), (1.001, 1), (2.0, 1), (4.0, 2), (4.001, 3), (1e9, 3)]
)
def test_an_upper_bound_belongs_to_its_bucket(value: float, bucket: int) -> None:
    histogram = histogram_of(value)

    assert histogram.counts.index(1) == bucket


def test_the_count_and_the_sum_are_those_of_all_values() -> None:
    histogram = histogram_of(0.5, 1.5, 100.0)

    assert histogram.count == 3
    assert histogram.sum == 102.0


def test_an_empty_histogram_has_no_quantile_but_zero() -> None:
    assert histogram_of().quantile(0.99) == 0.0


@pytest.mark.parametrize(("q", "value"), [(0.25, 0.5), (0.5, 1.0), (0.75, 1.5), (1.0, 2.0)])
def test_a_quantile_is_interpolated_inside_its_bucket(q: float, value: float) -> None:
    histogram = histogram_of(0.1, 0.2, 1.1, 2.0)

    assert histogram.quantile(q) == value


def test_an_empty_bucket_is_passed_over() -> None:
    histogram = histogram_of(0.5, 4.0)

    assert histogram.quantile(0.75) == 3.0


@pytest.mark.parametrize("values", [(0.5, 100.0, 100.0), (0.5, 2.1, 2.1), (0.3,), (9.0,)], ids=str)
def test_no_quantile_is_above_the_highest_value(values: tuple[float, ...]) -> None:
    histogram = histogram_of(*values)

    assert histogram.quantile(0.99) <= histogram.highest == max(values)
    assert histogram.quantile(1.0) == max(values)


def test_a_reader_is_told_the_highest_value_since_it_last_asked() -> None:
    histogram = histogram_of(3.0, 1.0)

    first = histogram.take_highest()
    none = histogram.take_highest()
    histogram.observe(0.5)
    later = histogram.take_highest()

    assert (first, none, later) == (3.0, 0.0, 0.5)
    assert histogram.highest == 3.0


def test_the_buckets_are_close_together_around_the_default_time_out() -> None:
    timeout = DestinationPolicy().timeout

    below = max(bound for bound in SECONDS if bound < timeout)
    above = min(bound for bound in SECONDS if bound > timeout)

    assert timeout in SECONDS
    assert below >= timeout / 2
    assert above <= timeout * 2


def test_the_bounds_rise() -> None:
    assert list(SECONDS) == sorted(set(SECONDS))
    assert Histogram().bounds == SECONDS
