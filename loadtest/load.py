"""What one run of load came to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """Right answers, wrong ones by reason, and how long they took. Seconds; latencies over right answers only."""

    requests: int
    errors: Mapping[str, int]
    seconds: float
    cpu_seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Right answers per second."""
        return self.requests / self.seconds

    @property
    def cpu_per_request(self) -> float:
        """Processor seconds of the proxy per right answer. Not a number when there was none."""
        return self.cpu_seconds / self.requests if self.requests else float("nan")

    @property
    def busy(self) -> float:
        """Share of its core that the proxy used, 0..1. Well under 1 in a closed loop: something else was the limit."""
        return self.cpu_seconds / self.seconds


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0..1) of them do not exceed. Not a number when there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
