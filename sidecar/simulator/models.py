"""The model of a service: its latency distribution, its cache, and its speed during a trouble."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Final

from sidecar.simulator.scenario import Trouble

LOGNORMAL_SIGMA: Final = 0.7
"""Spread of the logarithm: the 99th percentile is four times the mean, as it is with many a database."""
STEPS_OF_WARMING: Final = 20


def draw(spread: str, mean: float, random: Random) -> Callable[[], float]:
    """Draw seconds of work with this mean: `fixed`, `even`, `exponential` or `lognormal`.

    Even is anything from half of the mean to one and a half. Raises KeyError for another word.
    """
    location = math.log(mean) - LOGNORMAL_SIGMA**2 / 2
    draws: dict[str, Callable[[], float]] = {
        "fixed": lambda: mean,
        "even": lambda: mean * (0.5 + random.random()),
        "exponential": lambda: -mean * math.log(1.0 - random.random()),
        "lognormal": lambda: random.lognormvariate(location, LOGNORMAL_SIGMA),
    }
    return draws[spread]


def slow_draws(trouble: Trouble, spread: str, random: Random) -> Iterator[tuple[float, float, Callable[[], float]]]:
    """From each of these instants on, the share of requests that are slow and how their work is drawn.

    From the beginning of a `slow` trouble to its end, where nothing is slow any more.
    """
    steps = STEPS_OF_WARMING if trouble.becomes != trouble.service_time else 1
    width = (trouble.ends - trouble.begins) / steps
    first = 0.5 if steps > 1 else 0.0
    for step in range(steps):
        mean = trouble.service_time + (trouble.becomes - trouble.service_time) * (step + first) / steps
        yield trouble.begins + step * width, trouble.share, draw(spread, mean, random)
    yield trouble.ends, 0.0, draw(spread, trouble.becomes, random)


class Cache:
    """The keys that cost a service its whole work. Every request is for one of them, as likely as any other."""

    __slots__ = ("_draw", "_keys", "_miss", "_missing", "_random")

    def __init__(self, keys: int, miss: float, draw: Callable[[], float], random: Random) -> None:
        """All are cached. One that is not takes `miss` times what `draw` says."""
        self._keys = keys
        self._miss = miss
        self._draw = draw
        self._random = random
        self._missing: set[int] = set()

    def empty(self) -> None:
        """None is cached any more."""
        self._missing.update(range(self._keys))

    def draw(self) -> float:
        """Seconds of work for the next request; its key is cached then."""
        work = self._draw()
        if self._missing:
            key = int(self._random.random() * self._keys)
            if key in self._missing:
                self._missing.discard(key)
                return self._miss * work
        return work


@dataclass(frozen=True, slots=True)
class Slowness:
    """From `begins` to `ends` the speed moves evenly from `speed` to `until_speed`; 1 is full speed, 0 a hang."""

    begins: float
    ends: float
    speed: float
    until_speed: float


class Pace:
    """The speed of a service at each instant. Where two troubles overlap, their speeds multiply."""

    __slots__ = ("_done", "_speeds", "_starts", "_unchanged")

    def __init__(self, troubles: Iterable[Slowness] = ()) -> None:
        steps = [step for trouble in troubles for step in _steps(trouble)]
        edges = sorted({0.0, *(edge for begins, ends, _ in steps for edge in (begins, ends))})
        self._starts: Sequence[float] = edges
        self._speeds = [math.prod(speed for begins, ends, speed in steps if begins <= edge < ends) for edge in edges]
        self._done = [0.0]
        """Seconds of work at full speed that fit between 0 and each edge."""
        for (begins, ends), speed in zip(pairwise(edges), self._speeds, strict=False):
            self._done.append(self._done[-1] + speed * (ends - begins))
        self._unchanged = not steps

    def finished(self, now: float, work: float) -> float:
        """When work of so many seconds at full speed is done, if it is begun now."""
        if self._unchanged:
            return now + work
        place = bisect_right(self._starts, now) - 1
        target = self._done[place] + (now - self._starts[place]) * self._speeds[place] + work
        place = max(place, bisect_left(self._done, target) - 1)
        speed = self._speeds[place]
        return self._starts[place] + (target - self._done[place]) / speed if speed else now


def _steps(trouble: Slowness) -> list[tuple[float, float, float]]:
    """A trouble as parts of constant speed."""
    if trouble.speed == trouble.until_speed:
        return [(trouble.begins, trouble.ends, trouble.speed)]
    width = (trouble.ends - trouble.begins) / STEPS_OF_WARMING
    rise = (trouble.until_speed - trouble.speed) / STEPS_OF_WARMING
    return [
        (trouble.begins + step * width, trouble.begins + (step + 1) * width, trouble.speed + (step + 0.5) * rise)
        for step in range(STEPS_OF_WARMING)
    ]
