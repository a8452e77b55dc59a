"""What a run came to, from what both ends wrote down."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from loadtest.load import quantile
from loadtest.storm.scenario import Scenario
from loadtest.storm.witness import Attempt, Request

SLOT = 0.25  # seconds of the goodput curve
WELL = 0.95  # of the requests of a slot are answered well when there is no trouble
STILL = 1.0  # seconds before the end: a run that is not well until then has not recovered
EARLY = 0.02  # seconds: a retry is earlier than it was told to be by more than clocks and sockets differ


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares are of 1, times in seconds. None is what there is none of: no request, no good answer, no recovery."""

    before: float | None
    during: float | None
    after: float | None
    spared: float | None
    """During the trouble, of the requests to the destinations that no fault names; None if all are named."""
    requests: int
    attempts: int
    amplification: float
    """Attempts per request that reached the dependency."""
    worst_second: float
    """1 + repeated attempts in a second / requests that the clients made in it."""
    wasted: float
    """The share of the work that was done for nobody: late, twice, or for a client that had gone."""
    recovery: float | None
    """From the end of the trouble until all is well, and stays so."""
    duplicates: int
    """POSTs without a key that were executed more than once."""
    violations: int
    """Attempts that came earlier than the last answer had told them to."""
    p50: float | None
    p99: float | None
    """Of the good answers of the whole run."""
    p50_during: float | None
    p99_after: float | None
    goodput: tuple[float, ...]
    """Good answers a second, in each slot of a quarter of a second, by when they came."""
    attempted: tuple[float, ...]
    """Attempts a second at the dependency, in each slot."""


def figures(scenario: Scenario, requests: Sequence[Request], attempts: Sequence[Attempt]) -> Figures:
    distinct = len({attempt.number for attempt in attempts})
    began, ended = scenario.before, scenario.ends
    during = [request for request in requests if began <= request.began < ended]
    after = [request for request in requests if request.began >= ended]
    finished = sum(attempt.done is not None for attempt in attempts)
    good = [request for request in requests if request.good]
    executions = Counter(attempt.number for attempt in attempts if attempt.post and attempt.began is not None)
    named = {fault.destination for fault in scenario.faults}
    return Figures(
        before=_success(request for request in requests if request.began < began),
        during=_success(during),
        after=_success(after),
        spared=None if None in named else _success(r for r in during if r.destination not in named),
        requests=len(requests),
        attempts=len(attempts),
        amplification=len(attempts) / distinct if distinct else 1.0,
        worst_second=_worst_second(requests, attempts),
        wasted=1 - min(len(good), finished) / finished if finished else 0.0,
        recovery=_recovery(scenario, after),
        duplicates=sum(times > 1 for times in executions.values()),
        violations=_violations(attempts),
        p50=_latency(good, 0.5),
        p99=_latency(good, 0.99),
        p50_during=_latency([request for request in during if request.good], 0.5),
        p99_after=_latency([request for request in after if request.good], 0.99),
        goodput=_curve((request.ended for request in good), scenario),
        attempted=_curve((attempt.arrived for attempt in attempts), scenario),
    )


def _success(requests: Iterable[Request]) -> float | None:
    outcomes = [request.good for request in requests]
    return sum(outcomes) / len(outcomes) if outcomes else None


def _latency(requests: Sequence[Request], share: float) -> float | None:
    return quantile([request.ended - request.began for request in requests], share) if requests else None


def _by_request(attempts: Iterable[Attempt]) -> Iterable[list[Attempt]]:
    grouped: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in sorted(attempts, key=lambda attempt: attempt.arrived):
        grouped[attempt.number].append(attempt)
    return grouped.values()


def _worst_second(requests: Iterable[Request], attempts: Iterable[Attempt]) -> float:
    made = Counter(int(request.began) for request in requests)
    repeated = Counter(int(attempt.arrived) for group in _by_request(attempts) for attempt in group[1:])
    return 1 + max((repeated[second] / times for second, times in made.items()), default=0.0)


def _recovery(scenario: Scenario, after: Sequence[Request]) -> float | None:
    slots: dict[int, list[bool]] = defaultdict(list)
    for request in after:
        slots[int((request.began - scenario.ends) / SLOT)].append(request.good)
    bad = [slot for slot, outcomes in slots.items() if sum(outcomes) < WELL * len(outcomes)]
    recovered = (max(bad) + 1) * SLOT if bad else 0.0
    return None if recovered > scenario.after - STILL and bad else recovered


def _violations(attempts: Iterable[Attempt]) -> int:
    return sum(
        one.retry_after is not None and other.arrived < one.arrived + one.retry_after - EARLY
        for group in _by_request(attempts)
        for one, other in pairwise(group)
    )


def _curve(instants: Iterable[float], scenario: Scenario) -> tuple[float, ...]:
    slots = Counter(int(instant / SLOT) for instant in instants)
    return tuple(slots[slot] / SLOT for slot in range(ceil((scenario.seconds + scenario.deadline) / SLOT)))
