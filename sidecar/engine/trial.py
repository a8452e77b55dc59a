"""Two small statistics that tell a queue from a destination that is merely slow.

A queue makes each answer slower than the one before for as long as more is sent than is served, and its latency is
proportional to what is in flight. The latency of a healthy destination does neither, however it is distributed.
"""

import math
from typing import Final

RUN_SAMPLES: Final = 16
"""Slow answers in a row before anything is judged."""
TREND: Final = 0.85
"""Kendall's tau of the slow answers in a row, in the order in which they came. Of 16 that are independent it is over
0.85
once in 10^6; a queue that grows gives 0.9 and more. Right after a change to a higher latency the quick answers come
first, and that alone gives 0.5: M. G. Kendall, "A New Measure of Rank Correlation", Biometrika 30, 1938."""
TREND_SHARE: Final = 0.5
"""Of the present latency: what comes within less time is in the order of its latency, whatever that is."""

COHORT_SAMPLES: Final = 8
MAX_COHORT_SAMPLES: Final = 60
CERTAINTY: Final = 1.0
"""Standard errors by which two cohorts must differ from the ratio in question, before MAX_COHORT_SAMPLES are
reached."""


class SlowRun:
    """Slow answers in a row: all of them at first, then every second one, every fourth…, so that they span the run."""

    __slots__ = ("_passed", "_stride", "began", "latencies")

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.began = math.inf
        self._stride = 1
        self._passed = 0

    def __len__(self) -> int:
        return len(self.latencies)

    def clear(self) -> None:
        """An answer that was not slow ends the run."""
        self.latencies.clear()
        self.began = math.inf
        self._stride = 1
        self._passed = 0

    def add(self, seconds: float, now: float) -> bool:
        """Count one slow answer; True if it was kept as a sample."""
        if not self.latencies:
            self.began = now
        self._passed += 1
        if self._passed % self._stride:
            return False
        self.latencies.append(seconds)
        if len(self.latencies) >= 2 * RUN_SAMPLES:
            del self.latencies[::2]
            self._stride *= 2
        return True

    @property
    def mean(self) -> float:
        """Seconds, of the younger half of the samples."""
        recent = self.latencies[len(self.latencies) // 2 :]
        return sum(recent) / len(recent)

    @property
    def rises(self) -> bool:
        """Whether the samples get slower one after the other, by TREND."""
        run = self.latencies
        count = len(run)
        score = 0
        for index in range(count):
            one = run[index]
            for later in run[index + 1 :]:
                score += (later > one) - (later < one)
        return score >= TREND * count * (count - 1) / 2


class Cohort:
    """Latencies of attempts that were sent under the same limit. Seconds."""

    __slots__ = ("count", "squares", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.squares = 0.0

    def add(self, seconds: float) -> None:
        """Count one answer."""
        self.count += 1
        self.total += seconds
        self.squares += seconds * seconds

    @property
    def mean(self) -> float:
        """Seconds; 0.0 without an answer."""
        return self.total / self.count if self.count else 0.0

    @property
    def variance_of_mean(self) -> float:
        """Of the mean, estimated from the sample."""
        if self.count < 2:
            return math.inf
        mean = self.mean
        return max(0.0, self.squares / self.count - mean * mean) / (self.count - 1)


def slower_than(cohort: Cohort, reference: Cohort, ratio: float) -> bool | None:
    """Whether the mean of `cohort` exceeds `ratio` times that of `reference`; None: too few answers to tell."""
    least = min(cohort.count, reference.count)
    if least < COHORT_SAMPLES:
        return None
    difference = cohort.mean - ratio * reference.mean
    error = math.sqrt(cohort.variance_of_mean + ratio * ratio * reference.variance_of_mean)
    if abs(difference) < CERTAINTY * error and cohort.count < MAX_COHORT_SAMPLES:
        return None
    return difference >= 0
