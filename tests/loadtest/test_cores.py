"""Who runs where, on machines of every size."""

import os

import pytest

from loadtest.cores import Cores, pinned


@pytest.mark.parametrize(
    ("available", "expected", "said"),
    [
        ({3}, Cores(3, 3, 3), "one core only"),
        ({0, 1}, Cores(0, 1, 1), "generator and upstream together on core 1"),
        ({4, 2, 6, 8}, Cores(2, 4, 6), "upstream on core 6"),
    ],
)
def test_the_proxy_has_a_core_of_its_own_if_there_are_two(available: set[int], expected: Cores, said: str) -> None:
    cores = Cores.share(available)

    assert cores == expected
    assert said in cores.described()


def test_a_pin_is_undone() -> None:
    before = os.sched_getaffinity(0)

    with pinned(min(before)):
        inside = os.sched_getaffinity(0)

    assert inside == {min(before)}
    assert os.sched_getaffinity(0) == before
