"""Whether callers notice that there is a proxy: each figure of it beside the same one without."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from loadtest.harmless.figures import Figures
from loadtest.harmless.stage import Run
from loadtest.harmless.subjects import DIRECT

SUCCESS_LOSS = 0.001
THROUGHPUT_SHARE = 0.95
P50_FACTOR, P50_SECONDS = 1.1, 0.010
P99_FACTOR, P99_SECONDS = 1.25, 0.050
ATTEMPTS_FACTOR = 1.02

BARS = (
    "success at most 0.1 points under direct, throughput at least 95 % of it, p50 ≤ 1.1 times + 10 ms, "
    "p99 ≤ 1.25 times + 50 ms, attempts ≤ 1.02 per request"
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
        for bar, value, allowed, reference in _bars(own, other):
            more_is_better = bar in {"success", "throughput"}
            if value is None or (value < allowed if more_is_better else value > allowed):
                yield Harm(name, run.subject, own.kind, bar, value, allowed, reference)
    allowed = ATTEMPTS_FACTOR * direct.amplification
    if run.amplification > allowed:
        yield Harm(name, run.subject, "", "attempts", run.amplification, allowed, direct.amplification)


def _bars(own: Figures, other: Figures) -> Iterator[tuple[str, float | None, float, float]]:
    """Name, value, what is allowed, direct's value."""
    # A millionth of slack: sums of floats.
    yield "success", own.success, other.success - SUCCESS_LOSS - 1e-6, other.success
    yield "throughput", own.throughput, THROUGHPUT_SHARE * other.throughput, other.throughput
    if other.p50 is not None and other.p99 is not None:
        yield "p50", own.p50, P50_FACTOR * other.p50 + P50_SECONDS, other.p50
        yield "p99", own.p99, P99_FACTOR * other.p99 + P99_SECONDS, other.p99
