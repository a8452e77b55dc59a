"""The figures of a span of seconds: the dependency's answers, the callers' requests, and the retries refused.

Everything is counted, but for one thing that is computed and says so: the load there would have been without budget,
breaker and limit. For each second, with p the share of the attempts sent that failed, and m = `retry.max_attempts`:

    attempts without = requests * (1 + p + p^2 + ... + p^(m-1))

It assumes that every request would have been tried as often as the policy allows, each attempt failing as those that
were sent did. Where none was sent p is that of the last second in which some were. More load would have made more
attempts fail, and callers retry on their own; neither is counted, so the true figure is more likely higher than lower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sidecar.watch.document import DestinationState, LiveDocument, Rows

BAD_SHARE: Final = 0.05
"""Of a second's requests (or attempts): from here on the second is a bad one. As in the live page's verdict."""
ENOUGH_BAD: Final = 3
"""Requests not served that make an episode: one that failed among few is an accident."""
QUIET_SECONDS: Final = 10
"""Good seconds that part two episodes."""
OURS: Final = ("budget_exhausted", "breaker_open", "concurrency_limit")
"""Refusals that are the budget's, the breaker's and the limit's: what a client without them would have sent."""


@dataclass(frozen=True, slots=True)
class Span:
    """From one instant to another, in seconds since 1970."""

    begins: float
    ends: float

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.ends - self.begins


@dataclass(frozen=True, slots=True)
class Curves:
    """One number for each second that ends at `times`. Rates are per second."""

    times: list[float]
    widths: list[float]
    """Seconds that each row covers: 1, or more where the process was late."""
    requests: list[float]
    attempts: list[float]
    retries: list[float]
    without: list[float]
    bad: list[float]
    failed_attempts: list[float]
    amplification: list[float]
    bound: list[float]
    p50: list[float | None]
    p99: list[float | None]


@dataclass(frozen=True, slots=True)
class Episode:
    """One trouble: when callers were not served, when the dependency failed, and the time between both ends."""

    callers: Span
    dependency: Span | None
    requests: int
    bad: int
    attempts: int
    without: float

    @property
    def recovery(self) -> float | None:
        """Seconds from the dependency's last bad second to the callers'; None if it never failed while asked."""
        return None if self.dependency is None else max(0.0, self.callers.ends - self.dependency.ends)


@dataclass(frozen=True, slots=True)
class Incident:
    """One destination over one stretch of time."""

    name: str
    span: Span
    curves: Curves
    breaker: list[tuple[float, str]]
    """Instants and the state from then on; the first is at the begin of the span."""
    episodes: list[Episode]
    requests: int
    bad: int
    attempts: int
    retries: int
    without: float
    refusals: dict[str, int]
    max_attempts: int
    worst_amplification: float
    bound_then: float
    """Retries that the budget allowed in that worst second."""
    times_opened: int
    open_seconds: float

    @property
    def amplification(self) -> float | None:
        """Attempts per request that was sent; None when none was."""
        sent = self.attempts - self.retries
        return self.attempts / sent if sent > 0 else None

    @property
    def limited(self) -> int:
        """Requests and retries for which our in-flight limit had no slot."""
        return self.refusals.get("concurrency_limit", 0)

    @property
    def failed_share(self) -> float:
        """Of the attempts that were sent, the share that failed."""
        failed = sum(rate * width for rate, width in zip(self.curves.failed_attempts, self.curves.widths, strict=True))
        return failed / self.attempts if self.attempts else 0.0

    @property
    def is_our_doing(self) -> bool:
        """Our limit held requests back while the destination answered well what it was sent, in every trouble."""
        failed = any(episode.dependency is not None for episode in self.episodes)
        return (
            not failed and self.limited >= max(ENOUGH_BAD, BAD_SHARE * self.requests) and self.failed_share < BAD_SHARE
        )

    @property
    def held_back(self) -> int:
        """Attempts that budget, breaker and limit did not let out: counted."""
        return sum(self.refusals.get(reason, 0) for reason in OURS)


def incidents(document: LiveDocument, begins: float, ends: float) -> list[Incident]:
    """Every destination that was asked in that stretch of time, the one with most trouble first."""
    span = Span(begins, ends)
    told = [incident(document.history, state, span) for state in document.destinations]
    return sorted((one for one in told if one is not None), key=lambda one: (-one.bad, -one.requests))


def incident(history: Rows, state: DestinationState, span: Span) -> Incident | None:
    """One destination; None if nothing was asked of it then."""
    name = state.name
    rows = [at for at, time in enumerate(history.times) if span.begins < time <= span.ends]
    if name not in history.series or not rows:
        return None

    def counted(column: str) -> list[float]:
        values = history.column(name, column)
        return [values[at] for at in rows]

    def told(column: str) -> list[float | None]:
        values = history.series[name].get(column)
        return [None if values is None else values[at] for at in rows]

    requests, retries = counted("requests"), counted("retry")
    attempts = [sum(of_second) for of_second in zip(counted("first"), retries, counted("reconnect"), strict=True)]
    failed_attempts = counted("failed_attempts")
    bad = [sum(row) for row in zip(counted("failed"), counted("refused"), counted("abandoned"), strict=True)]
    if not any(requests) and not any(attempts):
        return None
    times = [history.times[at] for at in rows]
    widths = [1.0, *(max(0.5, after - before) for before, after in pairwise(times))]
    most = state.limits.max_attempts
    without = _without(requests, attempts, failed_attempts, most)
    amplification, bound = counted("amplification"), counted("bound")
    worst = max(range(len(rows)), key=lambda at: amplification[at])
    breaker = _states(history.transitions.get(name, []), span)
    opened = [
        (at, until)
        for (at, was), until in zip(breaker, [*(at for at, _ in breaker[1:]), span.ends], strict=True)
        if was == "open"
    ]

    def per_second(values: Sequence[float]) -> list[float]:
        return [value / width for value, width in zip(values, widths, strict=True)]

    refusals = {
        column.removeprefix("refusal."): int(sum(counted(column)))
        for column in history.series[name]
        if column.startswith("refusal.")
    }
    return Incident(
        name=name,
        span=Span(max(span.begins, times[0] - widths[0]), min(span.ends, times[-1])),
        curves=Curves(
            times=times,
            widths=widths,
            requests=per_second(requests),
            attempts=per_second(attempts),
            retries=per_second(retries),
            without=per_second(without),
            bad=per_second(bad),
            failed_attempts=per_second(failed_attempts),
            amplification=amplification,
            bound=bound,
            p50=told("p50"),
            p99=told("p99"),
        ),
        breaker=breaker,
        episodes=_episodes(times, widths, requests, bad, attempts, failed_attempts, without),
        requests=int(sum(requests)),
        bad=int(sum(bad)),
        attempts=int(sum(attempts)),
        retries=int(sum(retries)),
        without=sum(without),
        refusals={reason: count for reason, count in sorted(refusals.items(), key=lambda item: -item[1]) if count},
        max_attempts=most,
        worst_amplification=amplification[worst],
        bound_then=bound[worst],
        times_opened=sum(1 for (_, before), (_, after) in pairwise(breaker) if after == "open" != before),
        open_seconds=sum(until - at for at, until in opened),
    )


def _without(
    requests: Sequence[float], attempts: Sequence[float], failed_attempts: Sequence[float], most: int
) -> list[float]:
    """Attempts that there would have been without budget, breaker and limit: the formula above."""
    share = 0.0
    result = []
    for asked, sent, failed in zip(requests, attempts, failed_attempts, strict=True):
        if sent:
            share = min(1.0, failed / sent)
        result.append(asked * sum(share**retry for retry in range(most)))
    return result


def _states(transitions: Sequence[tuple[float | None, str]], span: Span) -> list[tuple[float, str]]:
    before = "closed"
    inside: list[tuple[float, str]] = []
    for at, state in transitions:
        if at is None or at <= span.begins:
            before = state
        elif at < span.ends:
            inside.append((at, state))
    return [(span.begins, before), *inside]


def _episodes(
    times: Sequence[float],
    widths: Sequence[float],
    requests: Sequence[float],
    bad: Sequence[float],
    attempts: Sequence[float],
    failed_attempts: Sequence[float],
    without: Sequence[float],
) -> list[Episode]:
    """Stretches of bad seconds for callers that at least QUIET_SECONDS good ones part."""
    groups: list[list[int]] = []
    for at, time in enumerate(times):
        if not bad[at] or bad[at] < BAD_SHARE * requests[at]:
            continue
        if groups and time - times[groups[-1][-1]] <= QUIET_SECONDS:
            groups[-1].append(at)
        else:
            groups.append([at])
    episodes = []
    for group in groups:
        first, last = group[0], group[-1]
        if sum(bad[first : last + 1]) < ENOUGH_BAD:
            continue
        failing = [
            at
            for at in range(max(0, first - QUIET_SECONDS), last + 1)
            if failed_attempts[at] and failed_attempts[at] >= BAD_SHARE * attempts[at]
        ]
        whole = slice(first, last + 1)
        episodes.append(
            Episode(
                callers=Span(times[first] - widths[first], times[last]),
                dependency=Span(times[failing[0]] - widths[failing[0]], times[failing[-1]]) if failing else None,
                requests=int(sum(requests[whole])),
                bad=int(sum(bad[whole])),
                attempts=int(sum(attempts[whole])),
                without=sum(without[whole]),
            )
        )
    return episodes
