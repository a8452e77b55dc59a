"""Measuring again what something from outside disturbed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from loadtest.figures import QUIET

TRIES = 3
TINY = 1e-6  # seconds

T = TypeVar("T")


class Gauge(Protocol):
    """Tells how slow the cores are just now: yardstick.Yardstick."""

    def slowness(self) -> float: ...

    def wait(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Repeated(Generic[T]):
    """All that was taken, the least disturbed of them, and how many times as long as undisturbed its work took."""

    taken: list[T]
    best: T
    stretch: float


def repeated(take: Callable[[], T], gauge: Gauge, scheduled: Callable[[], tuple[float, float]]) -> Repeated[T]:
    """Take a measurement until one is quiet, at most TRIES times.

    Two things stretch work: a core that runs slower, before or after it, and waiting for the core. `scheduled` says how
    many seconds the measured process had one, and how many it waited for one, so far.
    """
    tries: list[tuple[float, T]] = []
    while len(tries) < TRIES and not any(stretch <= QUIET for stretch, _ in tries):
        gauge.wait()
        slowness, (ran, waited) = gauge.slowness(), scheduled()
        taken = take()
        ran_since, waited_since = scheduled()
        slowness = max(slowness, gauge.slowness())
        tries.append((slowness * (1 + (waited_since - waited) / max(ran_since - ran, TINY)), taken))
    stretch, best = min(tries, key=lambda one: one[0])
    return Repeated([taken for _, taken in tries], best, stretch)
