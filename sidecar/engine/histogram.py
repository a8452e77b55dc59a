"""Counts of durations by bucket, in plain integers: written on the hot path, read at a scrape."""

from bisect import bisect_left
from collections.abc import Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0)
"""Upper bounds, in seconds, inclusive as Prometheus reads them (`le`); close together around usual time-outs."""


class Histogram:
    """`counts[i]` holds values in (bounds[i-1], bounds[i]]; the last one holds all beyond. Not cumulative."""

    __slots__ = ("_before", "bounds", "counts", "recent", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0
        self.recent = 0.0
        """The highest value since `take_highest` was called last."""
        self._before = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
        self.recent = max(self.recent, value)

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts)

    @property
    def highest(self) -> float:
        """The highest value of all; 0.0 when empty."""
        return max(self._before, self.recent)

    def take_highest(self) -> float:
        """The highest value since the last call, 0.0 without any. For one reader."""
        recent, self.recent = self.recent, 0.0
        self._before = max(self._before, recent)
        return recent

    def quantile(self, q: float) -> float:
        """`quantile_of` all values."""
        return quantile_of(self.bounds, self.counts, self.highest, q)


def quantile_of(bounds: Sequence[float], counts: Sequence[int], highest: float, q: float) -> float:
    """The value below which the share `q` of all lies, interpolated inside its bucket; 0.0 when empty.

    `counts` are a histogram's. No quantile is above `highest`, the highest value that was counted.
    """
    rank = q * sum(counts)
    below = 0
    lower = 0.0
    for upper, here in zip((*bounds, highest), counts, strict=True):
        if here and below + here >= rank:
            top = min(upper, highest)
            return min(top, lower + (top - lower) * (rank - below) / here)
        below += here
        lower = upper
    return 0.0
