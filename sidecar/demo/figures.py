"""The figures of a run, computed from the counts and from nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.demo.counts import SLOTS_PER_SECOND, between
from sidecar.demo.observation import Observation
from sidecar.demo.script import Script, ScriptPhase

TROUBLE = {ScriptPhase.FAILING: "503s", ScriptPhase.HANGING: "hang"}
"""The name of a trouble."""

WELL = 0.95
"""The share of requests that has to succeed in every second from some instant on: then a side has recovered by it."""

TOO_LATE = 0.5
"""Seconds a child process may be behind its clock before the figures say more about the machine than about retries."""


class Shares:
    """The figures of a scene, or of a whole side."""

    __slots__ = ()

    requests: int
    succeeded: int
    attempts: int
    served: int
    wasted: int

    @property
    def success(self) -> float | None:
        """The share that succeeded; None without requests."""
        return ratio(self.succeeded, self.requests)

    @property
    def amplification(self) -> float | None:
        """Attempts that arrived per request issued; None without requests."""
        return ratio(self.attempts, self.requests)

    @property
    def wasted_share(self) -> float | None:
        """The share of the work done meanwhile that was for callers who had gone; None if none was done."""
        return ratio(self.wasted, self.served + self.wasted)


@dataclass(frozen=True, slots=True)
class SceneFigures(Shares):
    """One scene as one side's callers met it, by the requests issued in it."""

    phase: ScriptPhase
    seconds: float
    requests: int
    succeeded: int
    attempts: int  # that arrived at the dependency meanwhile
    served: int
    wasted: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """The end of one trouble for the callers: all was well `seconds` after it. None: never while it was watched."""

    trouble: ScriptPhase
    seconds: float | None
    watched: float


@dataclass(frozen=True, slots=True)
class Figures(Shares):
    """One side. Rates are per second, over whole seconds; amplification is attempts that arrived / requests issued.

    For the worst second see `amplification_by_second`.
    """

    name: str
    requests: int
    succeeded: int
    attempts: int
    worst_amplification: float
    peak_load: float
    capacity: float
    served: int
    wasted: int
    scenes: tuple[SceneFigures, ...]
    recoveries: tuple[Recovery, ...]
    late: float

    @property
    def last_recovery(self) -> Recovery | None:
        """The end of the last trouble; None if the script has none."""
        return self.recoveries[-1] if self.recoveries else None


def ratio(part: int, whole: int) -> float | None:
    """`part` / `whole`; None if there is no whole."""
    return part / whole if whole else None


def figures(side: Observation, script: Script) -> Figures:
    """All figures of one side, over the whole script."""
    end = slot_of(script.seconds)
    requests = list(between(side.requests, 0, end))
    arrivals = list(side.arrivals.values())
    scenes = []
    recoveries = []
    for scene, begin in zip(script.scenes, script.begins(), strict=True):
        inside = list(between(side.requests, slot_of(begin), slot_of(begin + scene.seconds)))
        there = list(between(side.arrivals, slot_of(begin), slot_of(begin + scene.seconds)))
        scenes.append(
            SceneFigures(
                phase=scene.phase,
                seconds=scene.seconds,
                requests=sum(row.issued for row in inside),
                succeeded=sum(row.succeeded for row in inside),
                attempts=sum(row.arrived for row in there),
                served=sum(row.served for row in there),
                wasted=sum(row.wasted for row in there),
            )
        )
        if scene.phase is not ScriptPhase.HEALTHY:
            recoveries.append(recovery(side, script, scene.phase, begin + scene.seconds))
    return Figures(
        name=side.name,
        requests=sum(row.issued for row in requests),
        succeeded=sum(row.succeeded for row in requests),
        attempts=sum(row.arrived for row in arrivals),
        worst_amplification=max((a for _, a in amplification_by_second(side, end)), default=0.0),
        peak_load=max((load for load in load_by_second(side, end)), default=0),
        capacity=script.capacity,
        served=sum(row.served for row in arrivals),
        wasted=sum(row.wasted for row in arrivals),
        scenes=tuple(scenes),
        recoveries=tuple(recoveries),
        late=side.late,
    )


def recovery(side: Observation, script: Script, trouble: ScriptPhase, ended: float) -> Recovery:
    """The recovery from `trouble`, which ended at `ended`, until the next one began or the script ended.

    Recovered is the beginning of the first second from which on every second (moved on by slots) has at least `WELL` of
    its requests succeed. The slot before the next trouble is left out: its requests may still be on their way then.
    """
    first = slot_of(ended)
    end = min(
        (
            slot_of(begin) - 1
            for scene, begin in zip(script.scenes, script.begins(), strict=True)
            if begin >= ended and scene.phase is not ScriptPhase.HEALTHY
        ),
        default=slot_of(script.seconds),
    )
    well_since: int | None = None
    for number in range(first, end - SLOTS_PER_SECOND + 1):
        rows = list(between(side.requests, number, number + SLOTS_PER_SECOND))
        success = ratio(sum(row.succeeded for row in rows), sum(row.issued for row in rows))
        if success is None or success < WELL:
            well_since = None
        elif well_since is None:
            well_since = number
    seconds = None if well_since is None else (well_since - first) / SLOTS_PER_SECOND
    return Recovery(trouble, seconds, (end - first) / SLOTS_PER_SECOND)


def amplification_by_second(side: Observation, end: int) -> Iterator[tuple[int, float]]:
    """(last slot + 1, amplification) of every second up to slot `end`, moved on by slots.

    It is (requests issued + repeated attempts arrived) / requests issued: a first attempt that the sidecar held back
    for a while is late, and not one too many.
    """
    for stop in range(SLOTS_PER_SECOND, end + 1):
        issued = sum(row.issued for row in between(side.requests, stop - SLOTS_PER_SECOND, stop))
        repeated = sum(row.repeated for row in between(side.arrivals, stop - SLOTS_PER_SECOND, stop))
        if issued:
            yield stop, (issued + repeated) / issued


def load_by_second(side: Observation, end: int) -> Iterator[int]:
    """Attempts that arrived in every second up to slot `end`, moved on by slots."""
    for stop in range(SLOTS_PER_SECOND, end + 1):
        yield sum(row.arrived for row in between(side.arrivals, stop - SLOTS_PER_SECOND, stop))


def slot_of(seconds: float) -> int:
    """The slot that begins at `seconds`, which is a multiple of a slot."""
    return round(seconds * SLOTS_PER_SECOND)


def verdict(governed: Figures, naive: Figures) -> str:
    """The outcome in plain words, whatever it is."""
    outcome = " ".join([_outcome(governed, naive), *_earlier(governed, naive)])
    late = max(governed.late, naive.late)
    if late <= TOO_LATE:
        return outcome
    return f"{outcome} But this machine was up to {late:.1f} s behind the clock: run it again before you believe it."


def _outcome(governed: Figures, naive: Figures) -> str:
    ours, theirs = governed.last_recovery, naive.last_recovery
    if ours is None or theirs is None:
        return "Nothing went wrong at the dependency, so there is nothing to compare."
    trouble = TROUBLE[ours.trouble]
    if ours.seconds is not None and theirs.seconds is None:
        rest = naive.scenes[-1]
        load = rest.attempts / rest.seconds / naive.capacity
        return (
            f"After the {trouble} the side behind the sidecar was well {after(ours.seconds)}; the naive client stayed "
            f"down for all of the {theirs.watched:.0f} s that were watched, although its dependency was healthy again: "
            f"retries kept the load at {load:.1f} times what it can carry, and {percent(rest.wasted_share)} of its "
            f"work was for callers who had already given up."
        )
    if ours.seconds is not None and theirs.seconds is not None:
        order = "sooner" if ours.seconds < theirs.seconds else "no sooner"
        return (
            f"Both sides recovered from the {trouble}: the sidecar {after(ours.seconds)}, the naive client "
            f"{after(theirs.seconds)}. The sidecar was {order}, with at most {governed.worst_amplification:.2f} "
            f"attempts per request against {naive.worst_amplification:.1f}; this run does not show a lasting collapse."
        )
    if theirs.seconds is not None:
        return (
            f"The sidecar did worse here: the naive client recovered from the {trouble} {after(theirs.seconds)}, the "
            f"side behind the sidecar did not in {ours.watched:.0f} s. That is not what it promises; please "
            f"report this run."
        )
    return (
        f"Neither side recovered from the {trouble} in the {ours.watched:.0f} s that were left. That is not what the "
        f"sidecar promises; please report this run."
    )


def _earlier(governed: Figures, naive: Figures) -> Iterator[str]:
    for ours, theirs in zip(governed.recoveries[:-1], naive.recoveries[:-1], strict=True):
        behind = ours.seconds is None or (theirs.seconds is not None and ours.seconds > theirs.seconds)
        if ours.trouble is ScriptPhase.FAILING and theirs.seconds is not None and behind:
            yield (
                f"From the {TROUBLE[ours.trouble]} before, which left no backlog, the naive client was well "
                f"{after(theirs.seconds)}, the sidecar {after(ours.seconds)}: its breaker probes at intervals only."
            )


def after(seconds: float | None) -> str:
    """A time to recover in words."""
    if seconds is None:
        return "never"
    return "at once" if seconds == 0 else f"{seconds:g} s later"


def times(factor: float | None, digits: int = 1) -> str:
    """A factor without its sign."""
    return "-" if factor is None else f"{factor:.{digits}f}"


def percent(share: float | None) -> str:
    """A share as whole per cent, never rounded up to 100 % or down to 0 %."""
    if share is None:
        return "-"
    if 0.99 < share < 1 or 0 < share < 0.01:
        return f"{min(max(share * 100, 0.1), 99.9):.1f} %"
    return f"{share * 100:.0f} %"
