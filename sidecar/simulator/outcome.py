"""The outcome of a run: success, amplification and recovery, by the definitions of the measured storms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.simulator.fleet import SLOT, Fleet

WELL: Final = 0.95
"""Share of the requests of a slot that are answered well when there is no trouble."""
STILL: Final = 1.0
"""Seconds before the end: a fleet that is not well until then has not recovered."""
SLOTS_PER_SECOND: Final = round(1 / SLOT)


@dataclass(frozen=True, slots=True)
class Depth:
    """The figures of one service. Attempts per request: of the calls to it, and of the requests from outside."""

    service: str
    amplification: float
    worst_second: float
    attempts_per_request: float
    wasted: float
    """Share of its answers that came after the caller had left."""
    longest_queue: int
    attempts: tuple[float, ...]
    """Per second, in each slot."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """Shares are of 1, times in seconds. None is what there is none of: no request, no recovery."""

    requests: int
    before: float | None
    during: float | None
    after: float | None
    recovery: float | None
    """From the end of the last trouble until at least WELL of the requests are answered well, and stay so."""
    seconds_after: float
    """For how long that was watched."""
    amplification: float
    """The worst of all services: attempts per request that was sent to it."""
    worst_second: float
    p50: float | None
    p99: float | None
    refusals: Mapping[str, int]
    depths: Sequence[Depth]
    offered: tuple[float, ...]
    """Requests from outside per second, in each slot, by when they came."""
    good: tuple[float, ...]
    """Those that were answered well."""

    @property
    def metastable(self) -> bool:
        """The trouble is over and the outage is not."""
        return self.recovery is None


def outcome(fleet: Fleet) -> RunOutcome:
    """The outcome of a finished run."""
    scenario = fleet.scenario
    slots = math.ceil(scenario.seconds / SLOT)
    entries = [
        simulated for simulated in fleet.services.values() if simulated.service.rate or simulated.service.callers
    ]
    offered = [sum(simulated.begun.slots[slot] for simulated in entries) for slot in range(slots)]
    good = [sum(simulated.good.slots[slot] for simulated in entries) for slot in range(slots)]
    first, begins, ends = (int(instant / SLOT) for instant in (scenario.warm_up, scenario.begins, scenario.ends))
    depths = [_depth(fleet, name, sum(offered)) for name, one in fleet.services.items() if one.attempts.total()]
    latencies = sorted(fleet.latencies)
    return RunOutcome(
        requests=sum(offered),
        before=_share(good[first:begins], offered[first:begins]),
        during=_share(good[begins:ends], offered[begins:ends]),
        after=_share(good[ends:], offered[ends:]),
        recovery=_recovery(good[ends:], offered[ends:]),
        seconds_after=scenario.seconds - scenario.ends,
        amplification=max((depth.amplification for depth in depths), default=1.0),
        worst_second=max((depth.worst_second for depth in depths), default=1.0),
        p50=_quantile(latencies, 0.5),
        p99=_quantile(latencies, 0.99),
        refusals={refusal.value: count for refusal, count in fleet.refusals.most_common()},
        depths=depths,
        offered=tuple(count / SLOT for count in offered),
        good=tuple(count / SLOT for count in good),
    )


def _depth(fleet: Fleet, name: str, outside: int) -> Depth:
    simulated = fleet.services[name]
    hops = [hop for other in fleet.services.values() for hop in other.hops if hop.callee is simulated]
    attempts = simulated.attempts.slots
    requests = [sum(counts) for counts in zip(*(hop.requests.slots for hop in hops), strict=True)]
    asked = _seconds(requests)
    retried = [max(0, sent - first) for sent, first in zip(_seconds(attempts), asked, strict=True)]
    usual = sorted(asked[: math.ceil(fleet.scenario.seconds)])
    return Depth(
        service=name,
        amplification=sum(attempts) / sum(requests),
        # What is compared with is what is usual: an outage without a first attempt has no ratio.
        worst_second=1 + max(retried, default=0) / max(1, usual[len(usual) // 2]),
        attempts_per_request=sum(attempts) / outside if outside else 0.0,
        wasted=simulated.wasted / simulated.answers if simulated.answers else 0.0,
        longest_queue=simulated.longest_queue,
        attempts=tuple(count / SLOT for count in attempts[: math.ceil(fleet.scenario.seconds / SLOT)]),
    )


def _seconds(slots: Sequence[int]) -> list[int]:
    return [sum(slots[start : start + SLOTS_PER_SECOND]) for start in range(0, len(slots), SLOTS_PER_SECOND)]


def _share(good: Sequence[int], offered: Sequence[int]) -> float | None:
    return sum(good) / sum(offered) if sum(offered) else None


def _recovery(good: Sequence[int], offered: Sequence[int]) -> float | None:
    bad = [slot for slot, asked in enumerate(offered) if good[slot] < WELL * asked]
    if not bad:
        return 0.0
    recovered = (bad[-1] + 1) * SLOT
    return None if recovered > len(offered) * SLOT - STILL else recovered


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
