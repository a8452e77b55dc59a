"""Figures by subject and round, and what is made of them: medians, and ratios to the baseline."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import median
from typing import TypeVar

from loadtest.load import Load
from loadtest.meter import Memory

MEGABYTE = 1e6
QUIET = 1.05  # of a stretch, at most; a proxy alone on its core has 1.00 to 1.02, next to one busy process 1.5


@dataclass(slots=True)
class Round:
    """One subject in one round. A figure's name is `part.figure_unit`; MB are 10⁶ bytes, us is µs.

    Parts are the rows of `workload.py`, `half` and `level` (at a fixed rate: half of the subject's own saturation, and
    half of the baseline's), and `process`. `stretch` is how many times as long as alone on its core the
    proxy took for its work, because it had to wait for other processes.
    """

    figures: dict[str, float] = field(default_factory=dict)
    errors: dict[str, Counter[str]] = field(default_factory=dict)

    def add_load(self, part: str, load: Load) -> None:
        self.figures[f"{part}.cpu_us"] = load.cpu_per_request * 1e6
        self.figures[f"{part}.rps"] = load.rate
        self.figures[f"{part}.p50_ms"] = load.p50 * 1e3
        self.figures[f"{part}.p99_ms"] = load.p99 * 1e3
        self.figures[f"{part}.busy_share"] = load.busy

    def add_memory(self, when: str, memory: Memory) -> None:
        self.figures[f"process.{when}_rss_mb"] = memory.rss_bytes / MEGABYTE
        self.figures[f"process.{when}_pss_mb"] = memory.pss_bytes / MEGABYTE

    def add_errors(self, part: str, errors: Mapping[str, int]) -> None:
        if errors:
            self.errors.setdefault(part, Counter()).update(errors)

    def add(self, other: "Round") -> None:
        """Take over what another one measured."""
        self.figures.update(other.figures)
        for part, errors in other.errors.items():
            self.add_errors(part, errors)

    def is_quiet(self, part: str) -> bool:
        """True if nothing disturbed it."""
        return self.figures.get(f"{part}.stretch", 1.0) <= QUIET

    def said(self, part: str) -> str:
        """A part in a few words."""
        cost = self.figures.get(f"{part}.cpu_us", float("nan"))
        wrong = self.errors.get(part, Counter()).total()
        return f"{cost:.1f} µs" + (f" ({wrong} WRONG ANSWERS)" if wrong else "")


Beside = TypeVar("Beside", bound=tuple[Round, ...])


@dataclass(frozen=True, slots=True)
class Results:
    """Every subject's rounds, in the order they were run: rounds of one number ran beside each other.

    What was disturbed is left out of a figure where there is something that was not.
    """

    baseline: str
    rounds: Mapping[str, Sequence[Round]]

    def median(self, subject: str, figure: str) -> float | None:
        """Over the rounds. None if the figure was not measured."""
        return _median(self.values(subject, figure))

    def ratio(self, subject: str, figure: str) -> float | None:
        """To the baseline: the median of the rounds' own ratios, so that what disturbed a round disturbs both sides."""
        return _median(self.ratios(subject, figure))

    def values(self, subject: str, figure: str) -> list[float]:
        """Of each round."""
        done = [(one,) for one in self.rounds.get(subject, ())]
        return _known(one.figures[figure] for (one,) in _quietest(done, figure))

    def ratios(self, subject: str, figure: str) -> list[float]:
        """To the baseline, of each round."""
        pairs = list(zip(self.rounds.get(subject, ()), self.rounds.get(self.baseline, ()), strict=False))
        return _known(
            one.figures[figure] / other.figures[figure]
            for one, other in _quietest(pairs, figure)
            if other.figures[figure]
        )

    def errors(self, subject: str, part: str) -> Counter[str]:
        """Over all rounds."""
        return sum((done.errors.get(part, Counter()) for done in self.rounds.get(subject, ())), Counter())

    def stretches(self) -> list[float]:
        """Of every measurement there is."""
        return [
            value
            for rounds in self.rounds.values()
            for done in rounds
            for name, value in done.figures.items()
            if name.endswith(".stretch")
        ]

    def figures(self) -> list[str]:
        """Names of all that was measured, in the order it was."""
        return list(dict.fromkeys(name for rounds in self.rounds.values() for done in rounds for name in done.figures))

    def parts(self) -> list[str]:
        return list(dict.fromkeys(name.partition(".")[0] for name in self.figures()))


def _quietest(beside: Sequence[Beside], figure: str) -> list[Beside]:
    """Rounds that measured the figure, those that nothing disturbed if there are any."""
    part = figure.partition(".")[0]
    measured = [rounds for rounds in beside if all(figure in one.figures for one in rounds)]
    return [rounds for rounds in measured if all(one.is_quiet(part) for one in rounds)] or measured


def _median(values: list[float]) -> float | None:
    return median(values) if values else None


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not isnan(value)]
