"""Figures by subject and round, and what is made of them: medians, and ratios to the baseline."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import median

from loadtest.load import Load

MEGABYTE = 1e6


@dataclass(slots=True)
class Round:
    """One subject in one round. A figure's name is `part.figure_unit`; MB are 10⁶ bytes, us is µs.

    Parts are the rows of `workload.py`, `half` and `level` (at a fixed rate: half of the subject's own saturation, and
    half of the baseline's), and `process`.
    """

    figures: dict[str, float] = field(default_factory=dict)
    errors: dict[str, Counter[str]] = field(default_factory=dict)

    def add_load(self, part: str, load: Load) -> None:
        self.figures[f"{part}.cpu_us"] = load.cpu_per_request * 1e6
        self.figures[f"{part}.rps"] = load.rate
        self.figures[f"{part}.p50_ms"] = load.p50 * 1e3
        self.figures[f"{part}.p99_ms"] = load.p99 * 1e3
        self.figures[f"{part}.busy_share"] = load.busy
        self.add_errors(part, load.errors)

    def add_errors(self, part: str, errors: Mapping[str, int]) -> None:
        if errors:
            self.errors.setdefault(part, Counter()).update(errors)


@dataclass(frozen=True, slots=True)
class Results:
    """Every subject's rounds, in the order they were run: rounds of one number ran beside each other."""

    baseline: str
    rounds: Mapping[str, Sequence[Round]]

    def median(self, subject: str, figure: str) -> float | None:
        """Over the rounds. None if the figure was not measured."""
        return _median(done.figures[figure] for done in self.rounds.get(subject, ()) if figure in done.figures)

    def ratio(self, subject: str, figure: str) -> float | None:
        """To the baseline: the median of the rounds' own ratios, so that what disturbed a round disturbs both sides."""
        pairs = zip(self.rounds.get(subject, ()), self.rounds.get(self.baseline, ()), strict=False)
        return _median(
            one.figures[figure] / other.figures[figure]
            for one, other in pairs
            if figure in one.figures and other.figures.get(figure)
        )

    def errors(self, subject: str, part: str) -> Counter[str]:
        """Over all rounds."""
        return sum((done.errors.get(part, Counter()) for done in self.rounds.get(subject, ())), Counter())

    def figures(self) -> list[str]:
        """Names of all that was measured, in the order it was."""
        return list(dict.fromkeys(name for rounds in self.rounds.values() for done in rounds for name in done.figures))

    def parts(self) -> list[str]:
        return list(dict.fromkeys(name.partition(".")[0] for name in self.figures()))


def _median(values: Iterable[float]) -> float | None:
    known = [value for value in values if not isnan(value)]
    return median(known) if known else None
