"""What one kind of request came to through one subject."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.harmless.plan import Request
from loadtest.harmless.situation import Situation
from loadtest.load import quantile


@dataclass(frozen=True, slots=True)
class Figures:
    """Times in seconds, shares of 1. Latencies are of good answers, None where there was none."""

    kind: str
    requests: int
    good: int
    throughput: float
    """Good answers a second, to the requests that were made while the situation lasted."""
    p50: float | None
    p99: float | None
    longest: float | None

    @property
    def success(self) -> float:
        return self.good / self.requests if self.requests else 1.0


def figures(situation: Situation, requests: Sequence[Request]) -> tuple[Figures, ...]:
    """Of each kind of request, in the situation's order."""
    return tuple(_of(situation, number, requests) for number in range(len(situation.calls)))


def _of(situation: Situation, number: int, requests: Sequence[Request]) -> Figures:
    made = [request for request in requests if request.kind == number]
    took = sorted(request.took for request in made if request.good)
    return Figures(
        kind=situation.calls[number].name,
        requests=len(made),
        good=len(took),
        throughput=len(took) / situation.seconds,
        p50=quantile(took, 0.5) if took else None,
        p99=quantile(took, 0.99) if took else None,
        longest=took[-1] if took else None,
    )
