"""Counts of durations by bucket, in plain integers: written on the hot path, read when somebody scrapes."""

from bisect import bisect_left
from collections.abc import Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds, in seconds, inclusive as Prometheus reads them (`le`)."""


class Histogram:
    """`counts[i]` holds values in (bounds[i-1], bounds[i]]; the last one holds all beyond. Not cumulative."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """The value below which the share `q` of all lies, interpolated inside its bucket; 0.0 when empty."""
        rank = q * self.count
        below = 0
        lower = 0.0
        for upper, here in zip(self.bounds, self.counts, strict=False):
            if here and below + here >= rank:
                return lower + (upper - lower) * (rank - below) / here
            below += here
            lower = upper
        return lower if below < self.count else 0.0
