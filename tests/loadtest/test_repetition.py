"""What was disturbed is measured again, and the least disturbed counts; nothing that was seen is lost."""

from itertools import count

import pytest

from loadtest.repetition import Repeated, repeated


def measured(*waits: float) -> Repeated[int]:
    """Measurements that are their own number. Each has the core for a second, and waits for it as long as is said."""
    numbers = count(1)
    waited = [0.0]

    def take() -> int:
        number = next(numbers)
        waited.append(waited[-1] + waits[number - 1])
        return number

    return repeated(take, lambda: (len(waited) - 1.0, waited[-1]))


def test_a_quiet_measurement_is_taken_once() -> None:
    done = measured(0.01)

    assert done.taken == [1]
    assert done.stretch == pytest.approx(1.01)


def test_a_disturbed_measurement_is_taken_again() -> None:
    done = measured(0.5, 0.0)

    assert done == Repeated(taken=[1, 2], best=2, stretch=1.0)


def test_the_least_disturbed_counts_when_none_was_quiet() -> None:
    done = measured(0.5, 0.25, 0.75)

    assert done == Repeated(taken=[1, 2, 3], best=2, stretch=1.25)
