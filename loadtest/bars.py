"""What the sidecar has to reach, and whether it did."""

from dataclasses import dataclass
from enum import Enum
from statistics import median

from loadtest.figures import Results

SUBJECT = "sidecar"


class Mark(Enum):
    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure and the most it may be: as a multiple of the baseline's, or in the figure's own unit."""

    title: str
    figure: str
    limit: float
    is_ratio: bool
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """A bar, what each round measured against it, and why it was missed in spite of a good value."""

    bar: Bar
    rounds: tuple[float, ...]
    mark: Mark
    reason: str = ""

    @property
    def value(self) -> float | None:
        """What is judged: the median. None if nothing was measured."""
        return median(self.rounds) if self.rounds else None


BARS = (
    Bar("cpu per small GET", "get.cpu_us", 0.45, is_ratio=True, aim=0.40),
    Bar("cpu per 1 KiB POST", "post.cpu_us", 0.45, is_ratio=True, aim=0.40),
    Bar("cpu per 1 MiB response", "1m.cpu_us", 1.5, is_ratio=True),
    Bar("cpu per 1 MiB request", "1m-up.cpu_us", 1.5, is_ratio=True),
    Bar("p99 at half of its saturation", "half.p99_ms", 1.0, is_ratio=True),
    Bar("RSS at rest, MB", "process.rest_rss_mb", 60.0, is_ratio=False),
    Bar("RSS of idle connections, MB per 1,000", "process.idle_per_1000_mb", 25.0, is_ratio=False),
    Bar("start to first answer, s", "process.start_s", 0.7, is_ratio=False),
)


def judge(results: Results) -> list[Ruling]:
    return [_ruling(bar, results) for bar in BARS]


def _ruling(bar: Bar, results: Results) -> Ruling:
    part = bar.figure.partition(".")[0]
    rounds = tuple(results.ratios(SUBJECT, bar.figure) if bar.is_ratio else results.values(SUBJECT, bar.figure))
    if wrong := results.errors(SUBJECT, part).total():
        return Ruling(bar, rounds, Mark.MISSED, f"{wrong} wrong answers")
    if not rounds:
        return Ruling(bar, rounds, Mark.NOT_MEASURED)
    return Ruling(bar, rounds, Mark.MET if median(rounds) <= bar.limit else Mark.MISSED)
