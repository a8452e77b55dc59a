"""What was disturbed is measured again, and the least disturbed counts; nothing that was seen is lost."""

from itertools import count

import pytest

from loadtest.repetition import TRIES, Repeated, repeated


class Readings:
    """A gauge with given readings, two for each measurement."""

    def __init__(self, *slowness: float) -> None:
        self._slowness = iter(slowness)

    def slowness(self) -> float:
        return next(self._slowness)

    def wait(self) -> None: ...


def measured(gauge: Readings, *, waits: tuple[float, ...] = (0.0,) * TRIES) -> Repeated[int]:
    """Measurements that are their own number. Each has the core for a second, and waits for it as long as is said."""
    numbers = count(1)
    waited = [0.0]

    def take() -> int:
        number = next(numbers)
        waited.append(waited[-1] + waits[number - 1])
        return number

    return repeated(take, gauge, lambda: (len(waited) - 1.0, waited[-1]))


def test_a_quiet_measurement_is_taken_once() -> None:
    done = measured(Readings(1.0, 1.05))

    assert done == Repeated(taken=[1], best=1, stretch=1.05)


def test_a_core_that_was_slow_before_or_after_means_again() -> None:
    done = measured(Readings(1.0, 1.5, 1.5, 1.0, 1.0, 1.0))

    assert done == Repeated(taken=[1, 2, 3], best=3, stretch=1.0)


def test_the_least_disturbed_counts_when_none_was_quiet() -> None:
    done = measured(Readings(1.5, 1.5, 1.3, 1.2, 1.6, 1.0))

    assert done == Repeated(taken=[1, 2, 3], best=2, stretch=1.3)


def test_waiting_for_the_core_disturbs_like_a_slow_one() -> None:
    done = measured(Readings(1.0, 1.0, 1.0, 1.0), waits=(0.5, 0.0))

    assert done.taken == [1, 2]
    assert done.best == 2
    assert done.stretch == pytest.approx(1.0)
