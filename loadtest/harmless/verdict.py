"""Whether callers notice that there is a proxy: each figure of it beside the same one without."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from loadtest.harmless.figures import Figures
from loadtest.harmless.stage import Run
from loadtest.harmless.subjects import DIRECT
from sidecar.simulator.harmless import (
    AMPLIFICATION_FACTOR,
    P50_FACTOR,
    P50_SECONDS,
    P99_FACTOR,
    P99_SECONDS,
    SUCCESS_LOSS,
    THROUGHPUT_SHARE,
    Served,
    missed_bars,
)

BARS = (
    f"success at most {SUCCESS_LOSS:.1%} under direct, throughput at least {THROUGHPUT_SHARE:.0%} of it, "
    f"p50 ≤ {P50_FACTOR:g} times + {P50_SECONDS * 1000:.0f} ms, "
    f"p99 ≤ {P99_FACTOR:g} times + {P99_SECONDS * 1000:.0f} ms, "
    f"attempts ≤ {AMPLIFICATION_FACTOR:g} per request"
)
COUNTED = frozenset({"success", "attempts"})
"""The bars that a busy machine does not move."""


@dataclass(frozen=True, slots=True)
class Harm:
    """A bar that was missed. `kind` is the kind of request, empty where all count together."""

    situation: str
    subject: str
    kind: str
    bar: str
    value: float | None
    allowed: float
    direct: float


def harms(runs: Sequence[Run]) -> list[Harm]:
    """Of the runs of one situation: every bar that a subject missed. Nothing without a direct run."""
    direct = next((run for run in runs if run.subject == DIRECT), None)
    if direct is None:
        return []
    return [harm for run in runs if run is not direct for harm in _harms(run, direct)]


def by_pair(found: Sequence[Harm]) -> Mapping[tuple[str, str], list[Harm]]:
    """By situation and subject."""
    grouped: dict[tuple[str, str], list[Harm]] = {}
    for harm in found:
        grouped.setdefault((harm.situation, harm.subject), []).append(harm)
    return grouped


def _harms(run: Run, direct: Run) -> Iterator[Harm]:
    name = run.situation.name
    for own, other in zip(run.figures, direct.figures, strict=True):
        for bar in missed_bars(_served(own), _served(other)):
            yield Harm(name, run.subject, own.kind, bar.figure, bar.value, bar.allowed, bar.direct)
    allowed = AMPLIFICATION_FACTOR * direct.amplification
    if run.amplification > allowed:
        yield Harm(name, run.subject, "", "attempts", run.amplification, allowed, direct.amplification)


def _served(figures: Figures) -> Served:
    """Attempts are judged of all kinds together: few of one kind would be judged by one retry."""
    return Served(figures.success, figures.throughput, figures.p50, figures.p99, amplification=1.0)
