"""The last fifteen minutes, second by second, and the last notable exchanges: what the live page and the report show.

It reads the engine's integers once a second, off the hot path. Memory is bounded: about 110 kB for a destination that
has had traffic, at most MAX_DESTINATIONS of them, and EXCHANGES records.
"""

import asyncio
import math
from array import array
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct

from sidecar.engine.breaker import Breaker, BreakerState
from sidecar.engine.destination import Destination
from sidecar.engine.histogram import Histogram, quantile_of
from sidecar.engine.outcome import AttemptKind, Result
from sidecar.engine.verdict import Refusal
from sidecar.telemetry.record import ExchangeRecord

ROWS: Final = 900
ROW_SECONDS: Final = 1.0
LATELY_ROWS: Final = 10
"""Rows that "lately" means everywhere: the window of the amplification metric."""
MAX_DESTINATIONS: Final = 100
TRANSITIONS: Final = 4096
"""Of the breaker, for each destination: 15 minutes of one that opens and probes twice a second."""
EXCHANGES: Final = 50
ALIKE: Final = 3
"""Exchanges alike that are kept from one second; one if they were never sent. The others are counted, so that a storm
does not hide the rest."""
KINDS_OF_EXCHANGE: Final = 64

STATES: Final = tuple(BreakerState)
REFUSALS: Final = tuple(Refusal)
COUNTS: Final = ("requests", "failed", "refused", "abandoned", "first", "retry", "reconnect", "failed_attempts")
"""Per second. `failed` requests (and attempts) ended with a 5xx or a fault; `refused` ones were never sent."""
LEVELS: Final = ("in_flight", "waiting", "limit")
"""At the end of the second."""
MEASURES: Final = ("amplification", "bound", "balance", "p50", "p99")
"""At the end of the second; the quantiles, in seconds, are of the requests that ended lately, NaN without any."""

BLANKS: Final = {"amplification": 1.0, "bound": 1.0, "balance": 0.0, "p50": math.nan, "p99": math.nan}
"""The value of a measure before there was traffic."""

Column: TypeAlias = "array[Any]"
"""A ring of ROWS numbers: whole ones for counts and levels, floats for measures."""


class Noted(Struct):
    """A notable exchange. `at` is when it ended, `alike` how many more like it ended in the same second."""

    number: int
    at: float
    record: ExchangeRecord
    alike: int = 0


class Lately(Struct, frozen=True):
    """One destination over the last rows: sums of its counts, and its refusals by reason, those that happened."""

    seconds: float
    counts: Mapping[str, int]
    refusals: Mapping[str, int]
    silent: float
    """Seconds since the last row in which a request or an attempt ended."""
    held: int = 0
    """Rows at whose end requests waited for a slot."""


class Series:
    """The rows of one destination. Times are the engine's; a column is a ring of ROWS numbers."""

    __slots__ = (
        "_allowances",
        "_breaker",
        "_durations",
        "_highest",
        "_last",
        "_states",
        "_taken",
        "_times",
        "columns",
        "lost",
        "reasons",
        "seen",
    )

    def __init__(self, destination: Destination, row: int) -> None:
        self.columns: dict[str, Column] = {name: array("I", bytes(4 * ROWS)) for name in (*COUNTS, *LEVELS)}
        self.columns |= {name: array("d", [BLANKS[name]]) * ROWS for name in MEASURES}
        self.reasons: dict[str, Column] = {refusal.value: array("I", bytes(4 * ROWS)) for refusal in REFUSALS}
        self.lost = 0
        """Transitions of the breaker that came too fast to be remembered."""
        self.seen = row
        """The last row in which the destination was in force."""
        self._allowances: deque[float] = deque(maxlen=LATELY_ROWS + 1)
        self._last = [0] * (len(COUNTS) + len(REFUSALS))
        self._durations: deque[list[int]] = deque([[0] * len(destination.tally.request_seconds.counts)])
        self._highest: deque[float] = deque(maxlen=LATELY_ROWS)
        self._times = array("d")
        self._states = bytearray()
        self._breaker = destination.breaker
        self._taken = 0

    def take(self, destination: Destination, index: int, now: float) -> None:
        """Write the row at `index`: what has happened since the last one."""
        counted = _counted(destination)
        columns = self.columns
        last, self._last = self._last, counted
        for position, name in enumerate(COUNTS):
            columns[name][index] = counted[position] - last[position]
        for position, reason in enumerate(self.reasons.values(), len(COUNTS)):
            reason[index] = counted[position] - last[position]
        limiter = destination.limiter
        columns["in_flight"][index] = limiter.awaited
        columns["waiting"][index] = len(limiter.waiting)
        columns["limit"][index] = int(limiter.limit)
        columns["amplification"][index] = round(destination.amplification(now), 3)
        self._allowances.append(allowance(destination, now))
        columns["bound"][index] = round(bound(destination, max(self._allowances), now), 3)
        columns["balance"][index] = round(destination.budget.balance(now), 2)
        columns["p50"][index], columns["p99"][index] = self._quantiles(destination.tally.request_seconds)
        self._follow(destination.breaker, now)

    def skip(self, index: int) -> None:
        """Write an empty row: the destination is not in force."""
        for name, column in self.columns.items():
            column[index] = BLANKS.get(name, 0)
        for column in self.reasons.values():
            column[index] = 0

    def rows(self, first: int, count: int) -> dict[str, list[float]]:
        """The rows from number `first` on, `count` of them; refusals by `refusal.<reason>`, those that happened."""
        ordered = {name: ordered_from(column, first, count) for name, column in self.columns.items()}
        for reason, column in self.reasons.items():
            values = ordered_from(column, first, count)
            if any(values):
                ordered[f"refusal.{reason}"] = values
        return ordered

    def transitions(self, since: float) -> list[tuple[float, str]]:
        """The breaker's changes since then, after the state it was in at that time."""
        times, states = self._times, self._states
        first = len(times)
        while first > 0 and times[first - 1] >= since:
            first -= 1
        return [(times[at], STATES[states[at]].value) for at in range(max(0, first - 1), len(times))]

    def lately(self, row: int, seconds: float) -> Lately:
        """The sums over the last LATELY_ROWS rows up to number `row`, exclusive."""
        indices = [number % ROWS for number in range(max(0, row - LATELY_ROWS), row)]
        columns = self.columns
        counts = {name: sum(int(columns[name][index]) for index in indices) for name in COUNTS}
        refusals = {reason: sum(column[index] for index in indices) for reason, column in self.reasons.items()}
        silent = 0
        for index in reversed(indices):
            if columns["requests"][index] or columns["first"][index] or columns["retry"][index]:
                break
            silent += 1
        return Lately(
            seconds,
            counts,
            {reason: count for reason, count in refusals.items() if count},
            silent * ROW_SECONDS,
            sum(1 for index in indices if columns["waiting"][index]),
        )

    def _quantiles(self, histogram: Histogram) -> tuple[float, float]:
        durations = self._durations
        durations.append(list(histogram.counts))
        if len(durations) > LATELY_ROWS + 1:
            durations.popleft()
        self._highest.append(histogram.take_highest())
        recent = [count - before for count, before in zip(histogram.counts, durations[0], strict=True)]
        if not any(recent):
            return math.nan, math.nan
        p50, p99 = (quantile_of(histogram.bounds, recent, max(self._highest), q) for q in (0.5, 0.99))
        return round(p50, 5), round(p99, 5)

    def _follow(self, breaker: Breaker, now: float) -> None:
        state = breaker.state(now)  # before the journal is read: looking closes one whose ramp is over
        total = sum(breaker.transitions.values())
        if breaker is not self._breaker:  # the host used last among the unlisted ones is another one now
            self._breaker = breaker
            if STATES[self._states[-1]] is not state:
                self._remember(now, state)
        else:
            if not self._times:
                self._remember(-math.inf, BreakerState.CLOSED)
            fresh = total - self._taken
            journal = list(breaker.journal)
            self.lost += max(0, fresh - len(journal))
            for at, entered in journal[max(0, len(journal) - fresh) :]:
                self._remember(at, entered)
        self._taken = total

    def _remember(self, at: float, state: BreakerState) -> None:
        self._times.append(at)
        self._states.append(STATES.index(state))
        if len(self._times) > TRANSITIONS:
            del self._times[: TRANSITIONS // 4]
            del self._states[: TRANSITIONS // 4]


class History:
    """Rows of all destinations, taken by `sample`; and the exchanges told to `record`. A `context.ExchangeRecorder`.

    `clock` gives the engine's time, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.row = 0
        """The number of rows taken, and so the number of the next one."""
        self.series: dict[str, Series] = {}
        self.exchanges: deque[Noted] = deque(maxlen=EXCHANGES)
        self.left_out: set[str] = set()
        """Destinations that have no series because there were too many."""
        self.noted = 0
        """The number of exchanges kept since the start, those that have made room since included."""
        self.noted_before = 0
        """`noted` as it was when the last row began."""
        self._noted_then = 0
        self._clock = clock
        self._times = array("d", bytes(8 * ROWS))
        self._alike: dict[tuple[str, str, str | None, int], list[Noted]] = {}
        self._turn: asyncio.Future[None] | None = None

    def record(self, record: ExchangeRecord) -> None:
        """Keep an exchange, or count it with one alike of the same second."""
        key = (record.destination, record.result, record.refusal, len(record.attempts))
        alike = self._alike.get(key)
        if alike is None:
            if len(self._alike) >= KINDS_OF_EXCHANGE:
                return
            alike = self._alike[key] = []
        if len(alike) >= (ALIKE if record.attempts else 1):
            alike[-1].alike += 1
            return
        noted = Noted(self.noted, self._clock(), record)
        self.noted += 1
        alike.append(noted)
        self.exchanges.append(noted)

    def sample(self, destinations: Mapping[str, Destination]) -> None:
        """Take a row. A destination gets a series with its first traffic; one no longer in force keeps its rows."""
        now = self._clock()
        index = self.row % ROWS
        self._times[index] = now
        self._alike.clear()
        self.noted_before, self._noted_then = self._noted_then, self.noted
        for name, series in list(self.series.items()):
            if name not in destinations:
                series.skip(index)
                if self.row - series.seen >= ROWS:
                    del self.series[name]
        self.left_out &= destinations.keys()
        for name, destination in destinations.items():
            current = self.series.get(name)
            if current is None:
                if name in self.left_out or not _busy(destination):
                    continue
                if len(self.series) >= MAX_DESTINATIONS:
                    self.left_out.add(name)  # for good: a series that began now would take all its past for one second
                    continue
                current = self.series[name] = Series(destination, self.row)
            current.seen = self.row
            current.take(destination, index, now)
        self.row += 1
        if self._turn is not None:
            turn, self._turn = self._turn, None
            turn.set_result(None)

    async def turned(self) -> None:
        """Wait for the next row."""
        if self._turn is None:
            self._turn = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._turn)

    def times(self, first: int, count: int) -> list[float]:
        """When the rows from number `first` on were taken."""
        return ordered_from(self._times, first, count)

    def first_row(self, count: int = ROWS) -> int:
        """The number of the oldest of the last `count` rows that is still there."""
        return max(0, self.row - min(count, ROWS))

    def lately(self, name: str) -> Lately | None:
        """A destination over the last rows; None before its first traffic."""
        series = self.series.get(name)
        if series is None or self.row == 0:
            return None
        before = self.row - LATELY_ROWS - 1
        since = self._times[before % ROWS] if before >= 0 else self._times[0] - ROW_SECONDS
        return series.lately(self.row, self._times[(self.row - 1) % ROWS] - since)


class Sampler:
    """Takes a row every second, on the beat."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, history: History, subjects: Callable[[], Mapping[str, Destination]]
    ) -> None:
        self._loop = loop
        self._history = history
        self._subjects = subjects
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin."""
        self._due = self._loop.time() + ROW_SECONDS
        self._timer = self._loop.call_at(self._due, self._beat)

    def stop(self) -> None:
        """Take no more rows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        self._history.sample(self._subjects())
        late = self._loop.time() - self._due
        self._due += ROW_SECONDS * math.ceil(max(late, 0.001) / ROW_SECONDS)
        self._timer = self._loop.call_at(self._due, self._beat)


def allowance(destination: Destination, now: float) -> float:
    """The retries that the budget allows over its window at this traffic: ratio * requests + min_retries."""
    budget = destination.policy.budget
    return budget.ratio * destination.budget.requests_in_window(now) + budget.min_retries


def bound(destination: Destination, allowed: float, now: float) -> float:
    """The most attempts per request that there can be over the last ten seconds, when retries were allowed so far.

    `allowed` is the highest `allowance` of that time, for the last retry may have been granted when there were more
    requests in the window than now. Never over max_attempts; 1 without requests, as the amplification itself.
    """
    destination.requests_lately.advance(now)
    requests = destination.requests_lately.total
    return min(1 + allowed / requests, float(destination.policy.retry.max_attempts)) if requests else 1.0


def ordered_from(column: Column, first: int, count: int) -> list[float]:
    """`count` numbers of a ring of ROWS, from row number `first` on."""
    begin = first % ROWS
    end = begin + count
    ordered = column[begin:end] if end <= ROWS else column[begin:] + column[: end - ROWS]
    return ordered.tolist()


def _counted(destination: Destination) -> list[int]:
    """The engine's counters since the start, in the order of COUNTS and REFUSALS."""
    tally = destination.tally
    requests = tally.requests
    first, retry, reconnect = (sum(tally.attempts[kind]) for kind in AttemptKind)
    return [
        sum(requests),
        requests[Result.SERVER_ERROR] + requests[Result.FAULT],
        requests[Result.REFUSED],
        requests[Result.ABANDONED],
        first,
        retry,
        reconnect,
        sum(counts[Result.SERVER_ERROR] + counts[Result.FAULT] for counts in tally.attempts),
        *tally.refusals.values(),
    ]


def _busy(destination: Destination) -> bool:
    return bool(destination.limiter.awaited or destination.limiter.waiting or any(destination.tally.requests))
