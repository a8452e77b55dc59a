"""No harm: callers of a healthy service are answered as they would be without a sidecar. `expect: harmless`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sidecar.simulator.outcome import RunOutcome

SUCCESS_LOSS: Final = 0.001
THROUGHPUT_SHARE: Final = 0.95
P50_FACTOR: Final = 1.1
P50_SECONDS: Final = 0.010
P99_FACTOR: Final = 1.25
P99_SECONDS: Final = 0.050
AMPLIFICATION_FACTOR: Final = 1.02
ROUNDING: Final = 1e-9
"""By how much a figure may miss its bar because it is a sum of floats."""


@dataclass(frozen=True, slots=True)
class Served:
    """The service to callers: shares of 1, good answers per second, seconds. None where there was no good answer."""

    success: float
    throughput: float
    p50: float | None
    p99: float | None
    amplification: float


@dataclass(frozen=True, slots=True)
class MissedBar:
    """A figure that is worse than direct by more than a bar allows. `value` is None where there is no figure at all."""

    figure: str
    value: float | None
    allowed: float
    direct: float

    def __str__(self) -> str:
        least = "at least" if self.figure in {"success", "throughput"} else "at most"
        value = "nothing" if self.value is None else _shown(self.figure, self.value)
        return (
            f"{self.figure} {value}, directly {_shown(self.figure, self.direct)} "
            f"({least} {_shown(self.figure, self.allowed)})"
        )


def served(outcome: RunOutcome) -> Served:
    """The service to callers from outside in a whole run."""
    offered, good = sum(outcome.offered), sum(outcome.good)
    return Served(
        success=good / offered if offered else 1.0,
        throughput=good / len(outcome.offered) if outcome.offered else 0.0,
        p50=outcome.p50,
        p99=outcome.p99,
        amplification=outcome.amplification,
    )


def missed_bars(own: Served, direct: Served) -> list[MissedBar]:
    """Every bar that `own` misses beside the same callers without a sidecar."""
    bars = (MissedBar(*bar) for bar in _bars(own, direct))
    return [bar for bar in bars if bar.value is None or _is_missed(bar.figure, bar.value, bar.allowed)]


def _bars(own: Served, direct: Served) -> Iterator[tuple[str, float | None, float, float]]:
    yield "success", own.success, direct.success - SUCCESS_LOSS, direct.success
    yield "throughput", own.throughput, THROUGHPUT_SHARE * direct.throughput, direct.throughput
    if direct.p50 is not None and direct.p99 is not None:
        yield "p50", own.p50, P50_FACTOR * direct.p50 + P50_SECONDS, direct.p50
        yield "p99", own.p99, P99_FACTOR * direct.p99 + P99_SECONDS, direct.p99
    allowed = AMPLIFICATION_FACTOR * direct.amplification
    yield "amplification", own.amplification, allowed, direct.amplification


def _is_missed(figure: str, value: float, allowed: float) -> bool:
    return value < allowed - ROUNDING if figure in {"success", "throughput"} else value > allowed + ROUNDING


def _shown(figure: str, value: float) -> str:
    match figure:
        case "success":
            return f"{value:.2%}"
        case "p50" | "p99":
            return f"{value * 1000:,.0f} ms"
        case _:
            return f"{value:.4g}"
