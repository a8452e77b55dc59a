"""Whether the sidecar is at least as good as the best of the others, figure by figure, and within its own bound."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtest.storm.figures import Figures
from loadtest.storm.stage import Run
from sidecar.engine.policy import BudgetPolicy

SUBJECT = "sidecar"


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A figure, and by how much two runs of the same thing may differ in it. `better`: +1 more, -1 less."""

    title: str
    read: Callable[[Figures], float | None]
    better: int
    slack: float


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A figure in which another subject is better; `best` names it, "bound" where it is the budget's own."""

    scenario: str
    title: str
    value: float
    best: str
    reached: float


def _recovery(figures: Figures) -> float:
    return math.inf if figures.recovery is None else figures.recovery


YARDSTICKS = (
    Yardstick("success during", lambda figures: figures.during, +1, 0.02),
    Yardstick("success after", lambda figures: figures.after, +1, 0.005),
    Yardstick("success of the spared", lambda figures: figures.spared, +1, 0.005),
    Yardstick("wasted work", lambda figures: figures.wasted, -1, 0.01),
    Yardstick("time to recover", _recovery, -1, 0.25),
    Yardstick("duplicate POSTs", lambda figures: figures.duplicates, -1, 0),
    Yardstick("Retry-After violations", lambda figures: figures.violations, -1, 0),
)


def shortfalls(runs: Sequence[Run]) -> list[Shortfall]:
    """Of the runs of one scenario: where the sidecar is not the best, and where it passes its bound."""
    own = next((run for run in runs if run.subject == SUBJECT), None)
    if own is None:
        return []
    found = []
    for yardstick in YARDSTICKS:
        value = yardstick.read(own.figures)
        others = [
            (reached, run.subject)
            for run in runs
            if run is not own and (reached := yardstick.read(run.figures)) is not None
        ]
        if value is None or not others:
            continue
        reached, best = max(others, key=lambda other: other[0] * yardstick.better)
        if (reached - value) * yardstick.better > yardstick.slack:
            found.append(Shortfall(own.scenario.name, yardstick.title, value, best, reached))
    allowed = amplification_bound(own)
    if own.figures.amplification > allowed:
        found.append(Shortfall(own.scenario.name, "amplification", own.figures.amplification, "bound", allowed))
    return found


def amplification_bound(run: Run) -> float:
    """1 + ratio + floor: what the shipped budget allows over a run, per request that the dependency saw."""
    budget = BudgetPolicy()
    scenario = run.scenario
    seconds = scenario.seconds + scenario.deadline
    floor = scenario.proxies * scenario.destinations * budget.min_retries * (seconds / budget.window + 1)
    distinct = run.figures.attempts / run.figures.amplification
    return 1 + budget.ratio + floor / max(1.0, distinct)
