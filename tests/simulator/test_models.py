"""How long work takes, at every speed."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.simulator.models import Cache, Pace, Slowness, draw, slow_draws
from sidecar.simulator.scenario import Trouble


@pytest.mark.parametrize("spread", ["fixed", "even", "exponential", "lognormal"])
def test_drawn_times_have_the_mean_that_was_asked_for(spread: str) -> None:
    times = draw(spread, 0.02, Random(7))

    drawn = [times() for _ in range(20_000)]

    assert sum(drawn) / len(drawn) == pytest.approx(0.02, rel=0.03)
    assert min(drawn) >= 0


def test_work_takes_its_time_when_all_is_well() -> None:
    assert Pace().finished(3.0, 0.25) == 3.25


def test_work_stands_still_in_a_hang_and_goes_on_after_it() -> None:
    pace = Pace([Slowness(10.0, 15.0, 0.0, 0.0)])

    assert pace.finished(9.0, 0.5) == 9.5
    assert pace.finished(9.8, 0.5) == pytest.approx(15.3)
    assert pace.finished(12.0, 0.5) == pytest.approx(15.5)
    assert pace.finished(15.0, 0.5) == pytest.approx(15.5)


def test_work_takes_longer_in_a_brownout_and_what_is_left_of_it_is_done_at_full_speed() -> None:
    pace = Pace([Slowness(10.0, 12.0, 0.4, 0.4)])

    assert pace.finished(10.0, 0.4) == pytest.approx(11.0)
    assert pace.finished(11.0, 1.0) == pytest.approx(12.6)


def test_two_troubles_at_once_multiply() -> None:
    pace = Pace([Slowness(0.0, 10.0, 0.5, 0.5), Slowness(2.0, 4.0, 0.5, 0.5)])

    assert pace.finished(2.0, 0.25) == pytest.approx(3.0)


def test_a_cold_cache_warms_up() -> None:
    pace = Pace([Slowness(0.0, 10.0, 0.2, 1.0)])

    early, late = pace.finished(0.0, 0.1), pace.finished(9.0, 0.1) - 9.0

    assert early == pytest.approx(0.45, rel=0.1)
    assert late == pytest.approx(0.105, rel=0.05)


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0.1, 10), st.sampled_from([0.0, 0.1, 0.5, 1.0])), max_size=4))
def test_no_work_is_done_before_it_was_begun_and_later_work_is_not_done_earlier(
    troubles: list[tuple[float, float, float]],
) -> None:
    pace = Pace(Slowness(begins, begins + lasts, speed, speed) for begins, lasts, speed in troubles)

    done = [pace.finished(now / 4, 0.3) for now in range(160)]

    assert all(end >= now / 4 + 0.3 - 1e-9 for now, end in enumerate(done))
    assert all(one <= other + 1e-9 for one, other in pairwise(done))


def test_a_cache_that_was_lost_costs_each_key_the_whole_work_once() -> None:
    cache = Cache(20, 4.0, lambda: 1.0, Random(1))
    warm = [cache.draw() for _ in range(100)]

    cache.empty()
    cold = [cache.draw() for _ in range(1000)]

    assert warm == [1.0] * 100
    assert cold.count(4.0) == 20
    assert cold[0] == 4.0
    assert set(cold[500:]) == {1.0}


def test_a_slow_service_is_so_from_its_beginning_to_its_end() -> None:
    slow = Trouble("payments", "slow", 4.0, 9.0, share=0.1, service_time=3.0, becomes=3.0)

    changes = list(slow_draws(slow, "fixed", Random(1)))

    assert [(at, share, work()) for at, share, work in changes] == [(4.0, 0.1, 3.0), (9.0, 0.0, 3.0)]


def test_a_service_that_becomes_slow_does_so_evenly() -> None:
    creeping = Trouble("payments", "slow", 0.0, 10.0, service_time=1.0, becomes=2.0)

    changes = list(slow_draws(creeping, "fixed", Random(1)))

    times = [work() for _, _, work in changes[:-1]]
    assert [at for at, _, _ in changes] == pytest.approx([step * 0.5 for step in range(21)])
    assert (times[0], times[-1]) == pytest.approx((1.025, 1.975))
    assert [other - one for one, other in pairwise(times)] == pytest.approx([0.05] * 19)
