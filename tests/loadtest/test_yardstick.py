"""The yardstick compares with the best it has seen, so it never reads below 1."""

import os

from loadtest.yardstick import Yardstick


def test_a_reading_is_at_least_one_and_leaves_the_pin_as_it_was() -> None:
    before = os.sched_getaffinity(0)
    yardstick = Yardstick(before, first_look=0.0)

    readings = [yardstick.slowness() for _ in range(3)]

    assert readings[0] == 1.0
    assert all(reading >= 1.0 for reading in readings)
    assert os.sched_getaffinity(0) == before
