import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.engine.window import BUCKETS, Window


def test_what_was_counted_is_in_the_newest_bucket_and_in_the_total() -> None:
    window = Window(1.0, 0.0)

    window.add(0.5)
    window.add(1.5)

    assert (window.newest, window.total) == (1, 2)


def test_a_count_leaves_after_ten_buckets() -> None:
    window = Window(1.0, 0.0)
    window.add(0.5)

    totals = []
    for now in (9.99, 10.0):
        window.advance(now)
        totals.append(window.total)

    assert totals == [1, 0]


def test_an_eleventh_bucket_keeps_a_count_for_one_bucket_more() -> None:
    window = Window(1.0, 0.0, BUCKETS + 1)
    window.add(0.5)

    totals = []
    for now in (10.99, 11.0):
        window.advance(now)
        totals.append(window.total)

    assert totals == [1, 0]


def test_a_long_silence_forgets_everything() -> None:
    window = Window(1.0, 0.0)
    for now in range(20):
        window.add(float(now))

    window.advance(1e6)

    assert (window.newest, window.total) == (0, 0)


@pytest.mark.parametrize("now", [5.0, 4.2, 0.0])
def test_a_clock_that_stands_still_or_steps_back_counts_into_the_newest_bucket(now: float) -> None:
    window = Window(1.0, 5.0)

    window.add(5.0)
    window.add(now)

    assert window.newest == 2


@pytest.mark.parametrize("width", [0.1, 0.3, 1 / 3, 0.7, 30.0])
def test_the_newest_bucket_never_ends_before_now(width: float) -> None:
    window = Window(width, 0.0)

    for k in range(1, 2000):
        window.advance(k * width)

        assert k * width < window.edge <= (k + 1) * width * (1 + 1e-9)


def test_a_count_is_taken_back_from_its_own_bucket() -> None:
    window = Window(1.0, 0.0)
    window.add(0.5)
    window.add(3.5)

    window.take_back(0.5)
    window.advance(9.5)
    after = window.total
    window.take_back(3.5)

    assert after == 1
    assert window.total == 0


@pytest.mark.parametrize("at", [2.5, 0.5, -20.0])
def test_nothing_is_taken_back_where_nothing_is_counted(at: float) -> None:
    window = Window(1.0, 3.0)
    window.add(3.5)

    window.take_back(at)

    assert window.total == 1


def test_the_counts_never_go_below_zero() -> None:
    window = Window(1.0, 0.0)

    window.take_back(0.0)

    assert (window.newest, window.total) == (0, 0)


def test_a_cleared_window_counts_on_from_zero() -> None:
    window = Window(1.0, 0.0)
    for now in range(5):
        window.add(float(now))

    window.clear()
    window.add(5.0)
    window.advance(14.0)

    assert window.total == 1


@pytest.mark.parametrize("buckets", [BUCKETS, BUCKETS + 1])
@pytest.mark.parametrize("width", [0.1, 6.0])
def test_another_width_keeps_the_total_and_forgets_it_in_its_own_time(width: float, buckets: int) -> None:
    window = Window(1.0, 0.0, buckets)
    for _ in range(27):
        window.add(0.0)

    other = window.resized(width, 0.5)
    total = other.total
    other.advance(0.5 + width * (buckets - 1))
    nearly_over = other.total
    other.advance(0.5 + width * (buckets + 1))

    assert total == 27
    assert 0 < nearly_over < 27
    assert other.total == 0


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from([0.1, 1.0, 30.0]),
    st.sampled_from([BUCKETS, BUCKETS + 1]),
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 3.0, 9.0, 10.0, 25.0]), st.integers(0, 3)), max_size=40),
)
def test_the_total_is_that_of_the_last_buckets(width: float, buckets: int, steps: list[tuple[float, int]]) -> None:
    window = Window(width, 0.0, buckets)
    counted: list[float] = []
    halves = 0.0

    for widths, count in steps:
        halves += widths
        now = (halves + 0.25) * width  # clear of the edges, whose rounding has a test of its own
        for _ in range(count):
            window.add(now)
            counted.append(halves + 0.25)
        window.advance(now)

        oldest = int(halves + 0.25) - buckets + 1
        assert window.total == sum(int(at) >= oldest for at in counted)
        assert window.newest == sum(int(at) == int(halves + 0.25) for at in counted)
