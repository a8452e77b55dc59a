"""Measuring again what other processes disturbed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from loadtest.figures import QUIET

TRIES = 3
TINY = 1e-6  # seconds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Repeated(Generic[T]):
    """All that was taken, the least disturbed of them, and how many times as long as alone its work took."""

    taken: list[T]
    best: T
    stretch: float


def repeated(take: Callable[[], T], scheduled: Callable[[], tuple[float, float]]) -> Repeated[T]:
    """Take a measurement until one is quiet, at most TRIES times.

    `scheduled` says how many seconds the measured process had a core, and how many it was ready and waited for one, so
    far. That alone decides, never the result. A core that another guest of the host slows down shows nowhere: that is
    what interleaving and medians are for.
    """
    tries: list[tuple[float, T]] = []
    while len(tries) < TRIES and not any(stretch <= QUIET for stretch, _ in tries):
        ran, waited = scheduled()
        taken = take()
        ran_since, waited_since = scheduled()
        tries.append((1 + (waited_since - waited) / max(ran_since - ran, TINY), taken))
    stretch, best = min(tries, key=lambda one: one[0])
    return Repeated([taken for _, taken in tries], best, stretch)
