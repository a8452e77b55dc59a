"""The state in words: am I amplifying, towards whom, and why were retries refused.

The page, the terminal and the JSON say the same sentence, so it is made once, here.
"""

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct, field

from sidecar.engine.concurrency import LimitState
from sidecar.engine.policy import BudgetPolicy
from sidecar.engine.verdict import Refusal

BAD_SHARE: Final = 0.05
"""Of the requests that ended: from here on a destination is failing."""
AMPLIFYING: Final = 1.2
"""Attempts per request from which it is called so, as in the alert; and with at least ENOUGH requests."""
ENOUGH: Final = 20
SILENCE: Final = 3.0
"""Seconds without any answer, while attempts are in flight, that are worth a word."""
WHOLE: Final = 0.995
HELD_ROWS: Final = 5
"""Of the last ten seconds: with requests waiting at the end of so many, the limit is what holds them back."""


class Level(Enum):
    """The degree of trouble, the worst last."""

    IDLE = "idle"
    CALM = "calm"
    UNSETTLED = "unsettled"
    LIMITING = "limiting"
    """Our own in-flight limit holds requests back while what is sent is answered well: the sidecar is the cause."""
    FAILING = "failing"
    AMPLIFYING = "amplifying"


class Standing(Struct, frozen=True):
    """One destination over the last ten `seconds`, or as many as there were yet.

    `bad` requests failed, were refused, or their callers gave up; `failed` ones were sent and ended with a 5xx or a
    fault, `refused` ones were never sent. `limited` counts what our in-flight limit refused, `held` the seconds at
    whose end requests waited for a slot.

    `per_attempt_timeout` and `silent` are seconds, the latter without an answer; `breaker` is a state's word.
    """

    name: str
    seconds: float
    requests: int
    bad: int
    retries: int
    amplification: float
    bound: float
    breaker: str
    in_flight: int
    silent: float
    per_attempt_timeout: float
    refusals: Mapping[str, int]
    failed: int = 0
    refused: int = 0
    held: int = 0
    limit: float = math.inf
    limit_state: str = ""
    """The word of `LimitState`."""
    waiting: int = 0
    budget: BudgetPolicy = field(default_factory=BudgetPolicy)

    @property
    def level(self) -> Level:
        """The degree of trouble here."""
        if self.amplification > AMPLIFYING and self.requests >= ENOUGH:
            return Level.AMPLIFYING
        if self.is_limiting:
            return Level.LIMITING
        if self.bad and self.bad >= BAD_SHARE * self.requests:
            return Level.FAILING
        if self.breaker != "closed" or self.is_silent:
            return Level.UNSETTLED
        return Level.CALM if self.requests or self.in_flight else Level.IDLE

    @property
    def limited(self) -> int:
        """Requests that the in-flight limit refused."""
        return self.refusals.get(Refusal.CONCURRENCY_LIMIT.value, 0)

    @property
    def is_limiting(self) -> bool:
        """Requests are refused or wait for our limit, and those that were sent are answered well."""
        if self.is_silent or self.breaker != "closed":
            return False
        sent = max(1, self.requests - self.refused)
        held_back = self.limited and self.limited >= BAD_SHARE * self.requests
        return bool(held_back or self.held >= HELD_ROWS) and self.failed < BAD_SHARE * sent

    @property
    def is_quiet(self) -> bool:
        """There were too few requests to judge by a ratio."""
        return self.requests < ENOUGH

    @property
    def is_silent(self) -> bool:
        """Attempts are in flight and none has been answered for longer than one may take."""
        return self.in_flight > 0 and self.silent >= max(SILENCE, self.per_attempt_timeout)

    @property
    def extra(self) -> float:
        """Attempts beyond the first of each request, lately: what it adds to the load there."""
        return self.requests * max(0.0, self.amplification - 1)


class Headline(Struct, frozen=True):
    """`words` is the verdict, `detail` the next sentence; `towards` are the destinations it speaks of, worst first."""

    level: Level
    words: str
    detail: str
    towards: tuple[str, ...]


def headline(standings: Sequence[Standing]) -> Headline:
    """The verdict over all destinations."""
    level = max((standing.level for standing in standings), key=_rank, default=Level.IDLE)
    towards = sorted(
        (s for s in standings if s.level is level), key=lambda s: (s.extra, s.bad, s.requests), reverse=True
    )
    names = tuple(standing.name for standing in towards)
    match level:
        case Level.AMPLIFYING:
            return Headline(level, _amplifying(towards), _and(_failing(towards), _refused(towards)), names)
        case Level.FAILING:
            return Headline(level, _failing(towards), _and(_held(towards), _refused(towards)), names)
        case Level.LIMITING:
            return Headline(level, _limiting(towards), _advice(towards), names)
        case Level.UNSETTLED:
            return Headline(level, _unsettled(towards), _and(_held(towards), _refused(towards)), names)
        case Level.CALM:
            return Headline(level, _calm(standings), _traffic(standings), ())
        case Level.IDLE:
            return Headline(level, "Quiet: no requests in the last 10 seconds", _waiting(standings), ())


def _rank(level: Level) -> int:
    return list(Level).index(level)


def _amplifying(towards: Sequence[Standing]) -> str:
    worst = towards[0]
    against = "over" if worst.amplification > worst.bound else "within"
    return (
        f"Amplifying towards {_named(towards)}: {worst.amplification:.2f} attempts per request, "
        f"{against} its bound of {worst.bound:.2f}"
    )


def _failing(towards: Sequence[Standing]) -> str:
    requests = sum(standing.requests for standing in towards)
    bad = sum(standing.bad for standing in towards)
    if not bad:
        return ""
    verb = "is" if len(towards) == 1 else "are"
    if requests < ENOUGH:
        share = f"{bad} of {requests} requests"
    elif bad >= WHOLE * requests:
        share = "all requests" if bad == requests else "nearly all requests"
    else:
        share = f"{100 * bad / requests:.0f} % of requests"
    return f"{_named(towards)} {verb} failing: {share}"


def _limiting(towards: Sequence[Standing]) -> str:
    worst = max(towards, key=lambda standing: (standing.limited, standing.held))
    if worst.limited:
        what = f"{worst.limited:,} not sent in the last 10 seconds"
    else:
        what = f"requests waited for a slot in {worst.held} of the last 10 seconds"
    return f"Held back by our in-flight limit, not by {_named(towards)}: {what}"


def _advice(towards: Sequence[Standing]) -> str:
    worst = max(towards, key=lambda standing: (standing.limited, standing.held))
    sent = worst.requests - worst.refused
    answered = f"{sent - worst.failed:,} of {sent:,} sent were answered well" if sent else "none was sent"
    places = f"{worst.in_flight} in flight of {worst.limit:.0f}, {worst.waiting} waiting"
    if worst.limit_state == LimitState.OPEN.value:
        places += ", and concurrency.max_in_flight is reached"
    return f"{answered}; {places}; see /refusals/concurrency_limit"


def _unsettled(towards: Sequence[Standing]) -> str:
    worst = max(towards, key=lambda standing: standing.is_silent)
    if worst.is_silent:
        return f"{worst.name} is not answering: {worst.in_flight} in flight, no answer for {worst.silent:.0f} s or more"
    words = {"open": "is left alone: its breaker is open", "half_open": "is being probed: its breaker is half-open"}
    return f"{worst.name} {words.get(worst.breaker, 'is recovering: its breaker lets traffic back in')}"


def _held(towards: Sequence[Standing]) -> str:
    worst = towards[0]
    if worst.amplification <= 1.0:
        return "no retries are adding to its load" if len(towards) == 1 else "no retries are adding to their load"
    return f"retries held to {worst.amplification:.2f} attempts per request"


def _refused(towards: Sequence[Standing]) -> str:
    reasons: dict[str, int] = {}
    for standing in towards:
        for reason, count in standing.refusals.items():
            reasons[reason] = reasons.get(reason, 0) + count
    if not reasons:
        return ""
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    if len(ordered) == 1:
        return f"{ordered[0][1]:,} refused: {ordered[0][0]}{_arithmetic(towards, reasons)}"
    named = ", ".join(f"{reason} {count:,}" for reason, count in ordered[:3])
    return (
        f"{sum(reasons.values()):,} refused: {named}{', …' if len(ordered) > 3 else ''}{_arithmetic(towards, reasons)}"
    )


def _arithmetic(towards: Sequence[Standing], reasons: Mapping[str, int]) -> str:
    """Of a quiet destination's budget, in brackets: `min_retries` is nearly all it has, and no sign of a storm."""
    exhausted = Refusal.BUDGET_EXHAUSTED.value
    worst = next((standing for standing in towards if standing.refusals.get(exhausted)), None)
    if exhausted not in reasons or worst is None or not worst.is_quiet:
        return ""
    budget = worst.budget
    count = worst.requests - worst.refused
    allowed = budget.min_retries + budget.ratio * count
    return (
        f" (its budget of {budget.window:g} s: {budget.min_retries:g} + {budget.ratio:g} x {count} "
        f"{'request' if count == 1 else 'requests'} = {allowed:.1f} retries)"
    )


def _calm(standings: Sequence[Standing]) -> str:
    requests = sum(standing.requests for standing in standings)
    if requests < ENOUGH:
        counted = f"{requests} request{'' if requests == 1 else 's'}"
        return f"Calm: {counted} in the last 10 seconds, too few to judge"
    attempts = sum(standing.requests * standing.amplification for standing in standings)
    return f"Calm: {attempts / requests if requests else 1.0:.2f} attempts per request"


def _traffic(standings: Sequence[Standing]) -> str:
    busy = [standing for standing in standings if standing.requests]
    rate = sum(standing.requests / standing.seconds for standing in busy)
    retries = sum(standing.retries for standing in standings)
    where = busy[0].name if len(busy) == 1 else f"{len(busy)} destinations"
    retried = "no retries" if not retries else f"{retries} {'retry' if retries == 1 else 'retries'}"
    bad = sum(standing.bad for standing in standings)
    failed = "none failed" if not bad else f"{bad} failed"
    flow = f"{rate:,.0f} requests/s" if rate >= 1 else f"{rate * 60:,.0f} requests/min"
    return f"{flow} to {where}; {retried}, {failed} in the last 10 seconds" if busy else "Attempts are in flight"


def _waiting(standings: Sequence[Standing]) -> str:
    if not standings:
        return "No destination is named"
    if len(standings) == 1:
        return f"{standings[0].name} is ready to be called"
    return f"{len(standings)} destinations are ready to be called"


def _named(towards: Sequence[Standing]) -> str:
    first = towards[0].name
    others = len(towards) - 1
    if others == 0:
        return first
    return f"{first} and {towards[1].name}" if others == 1 else f"{first} and {others} others"


def _and(first: str, second: str) -> str:
    return "; ".join(part for part in (first, second) if part)
