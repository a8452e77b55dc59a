"""The in-flight limit: the control that decides whether a fleet recovers.

A dependency that works on requests whose callers have gone has to be given time to drain its queue, and nobody knows
the right number in advance. So the limit follows what is seen: it falls when attempts fail, time out or take far longer
than they lately did, and rises while they are answered as usual. Its first law is to do no harm: bad news among good
news is not congestion, and a destination that answers as usual is not held back by a limit that has not found its size.
"""

import math
from collections import deque
from heapq import heapify, heappop, heappush
from typing import Final

from sidecar.engine.policy import ConcurrencyPolicy, LimitKind
from sidecar.engine.wait_queue import Waiter, WaitQueue

FALL_FACTOR: Final = 0.7
FALL_INTERVAL_SECONDS: Final = 0.1
"""Seconds between two falls, and without any good answer before one: a burst of bad news is one piece of news."""
SLOW_FACTOR: Final = 4.0
BRISK_FACTOR: Final = 2.0
JITTER_SECONDS: Final = 0.005
"""Seconds that are nothing: below a few milliseconds the scheduler's jitter is many times the service time."""
SLOW_ANSWERS_IN_A_ROW: Final = 12
"""Slow answers in a row that are no accident. By Markov's inequality at most a quarter of all answers take over four
times their mean, whatever mix of cheap and dear requests they are: twelve in a row are 6e-8."""
COOLDOWN_SECONDS: Final = 5.0
"""Seconds after a fall in which an original over the limit waits for a place instead of making one."""
OUTAGE_SECONDS: Final = 3.0
"""Seconds without a good answer after which a limit falls under what used to be in flight."""
RECLAIM_INTERVAL_SECONDS: Final = 0.05
"""Seconds between two orphaned places that come back without a good answer: how soon the end of a hang is noticed.
With 25 ms as much is saved and a third more is wasted, with 100 ms a third less is saved (tests/engine/fleet.py)."""
_LEAP: Final = 4.0  # places gained by one good answer while originals wait and nothing is known yet
_KNOWN_GOOD: Final = 2.0  # times what used to be in flight: up to there, one place for every good answer
_PERIOD: Final = 2.0
_PERIODS: Final = 4
_MIN_SAMPLES: Final = 10
_LATELY: Final = 0.05
_LATELY_AT_FIRST: Final = 0.25


class ConcurrencyLimit:
    """One per destination. Holds the number in flight, the limit, and the originals that wait.

    What is usual is the lower median of the mean latencies of the last four periods of two seconds, and that of the
    mean numbers in flight. Means, because the fastest kind of request must not make the others look slow. An answer
    is brisk up to twice the usual latency and slow over four times that, plus JITTER_SECONDS. A destination that
    becomes slower for good is usual again when those periods are over.

    The limit falls by FALL_FACTOR, at most once per FALL_INTERVAL_SECONDS: on a failure or a timeout if there was
    no good answer for as long, and after SLOW_ANSWERS_IN_A_ROW slow answers in a row. It falls under what is
    usually in flight only after OUTAGE_SECONDS seconds of failures and timeouts without a good answer: a short hang
    is over before fewer at once could help, and slowness alone does not prove that it would. It rises by 1/limit
    per brisk answer while half of it is in use, and by one while originals wait and it is small or nothing was
    wrong lately.

    A caller who leaves a slow attempt takes nothing off the dependency, which goes on working on it. Its place
    would be taken by the next at once, and so on: in a hang of 5 s whose callers wait for 3 s the queue of the dead
    is worked on for seconds after it. So such a place is *orphaned*, and still counts as in flight.
    """

    __slots__ = (
        "_brisk",
        "_freed_at",
        "_last_fall",
        "_last_good",
        "_orphaned",
        "_period_began",
        "_period_count",
        "_period_sum",
        "_periods",
        "_policy",
        "_reclaimed_at",
        "_rises",
        "_slow",
        "_slow_run",
        "_usual",
        "_usually_in_flight",
        "in_flight",
        "limit",
        "waiting",
    )

    def __init__(self, policy: ConcurrencyPolicy, now: float) -> None:
        self.in_flight = 0
        self.waiting = WaitQueue()
        self._orphaned: list[tuple[float, float]] = []  # a heap: until when, since when
        self._reclaimed_at = -math.inf
        self._freed_at = -math.inf
        self._last_fall = -math.inf
        self._last_good = -math.inf
        self._slow_run = 0
        self._usual = self._brisk = self._slow = math.inf  # seconds; nothing is slow before the usual is known
        self._usually_in_flight = 0.0
        self._periods: deque[tuple[float, float]] = deque(maxlen=_PERIODS)  # mean latency, mean number in flight
        self._period_began = now
        self._period_sum = 0.0
        self._period_count = 0
        self.limit = 0.0
        self._policy = policy
        self._rises = True
        self.adopt(policy, now)

    def adopt(self, policy: ConcurrencyPolicy, now: float) -> None:
        """Another policy from now on; what is known stays. A fixed limit is `initial`, inside the policy's bounds."""
        del now
        self._policy = policy
        self._rises = policy.limit is LimitKind.ADAPTIVE
        limit = self.limit if self._rises and self.limit else float(policy.initial)
        self.limit = min(max(limit, policy.min_in_flight), policy.max_in_flight)

    def grow_if_healthy(self, now: float) -> bool:
        """Make room for one more because nothing speaks against it: answers are coming in as usual this very moment.

        This is how a healthy destination is never held back by a limit that has not found its size yet; in a hang no
        answers come, and the limit stays.
        """
        lately = _LATELY_AT_FIRST if self._usual == math.inf else max(_LATELY, self._usual)
        if (
            not self._rises
            or now - self._last_good > lately
            or now - self._last_fall < COOLDOWN_SECONDS
            or max(self.limit, self.in_flight) >= self._policy.max_in_flight
        ):
            return False
        self.limit = max(self.limit, self.in_flight + 1.0)
        return True

    def answered(self, seconds: float, now: float) -> None:
        """An attempt in flight ended with a good answer after `seconds`."""
        self.in_flight -= 1
        if not self._rises:
            return
        self._period_sum += seconds
        self._period_count += 1
        if now - self._period_began >= _PERIOD:
            self._end_period(now)
        if seconds > self._slow:
            self._slow_run += 1
            if self._slow_run >= SLOW_ANSWERS_IN_A_ROW:
                self._fall(now, self._usually_in_flight)
            return
        self._slow_run = 0
        self._last_good = now
        if seconds > self._brisk:
            return
        limit = self.limit
        if limit < self._policy.max_in_flight:
            unknown = self._usual == math.inf
            small = unknown or limit < _KNOWN_GOOD * self._usually_in_flight
            if self.waiting and (small or now - self._last_fall >= COOLDOWN_SECONDS):
                leap = _LEAP if unknown else 1.0
                self.limit = min(limit + leap, float(self._policy.max_in_flight))
            elif 2 * (self.in_flight + 1) >= limit:
                self.limit = limit + 1 / limit

    def failed(self, now: float) -> None:
        """An attempt in flight ended in a failure."""
        self.in_flight -= 1
        self.fall(now)

    def released(self) -> None:
        """An attempt in flight ended in a way that says nothing."""
        self.in_flight -= 1

    def orphan(self, seconds: float, patience: float, now: float) -> None:
        """The caller of an attempt in flight has left after `seconds`, and the dependency does not know it.

        If it was slow, by what is usual or by `patience`, its place stays taken until `reclaim` says otherwise.
        """
        if not self._rises or seconds <= min(self._slow, patience):
            self.in_flight -= 1
            return
        if not self._orphaned:
            self._freed_at = now
        heappush(self._orphaned, (now + seconds, now))

    def reclaim(self, now: float) -> None:
        """Give orphaned slots back: all left before the last good answer, else one per RECLAIM_INTERVAL_SECONDS.

        And each after as long again as it was taken before: callers who are always gone too early halve what is let
        through, and no more. Nobody asks while there is room, so that no answer has to see to it.
        """
        orphaned = self._orphaned
        count = len(orphaned)
        if self._reclaimed_at < self._last_good:
            self._reclaimed_at = self._last_good
            orphaned[:] = [place for place in orphaned if place[1] > self._last_good]
            heapify(orphaned)
        if orphaned and now - self._freed_at >= RECLAIM_INTERVAL_SECONDS:
            heappop(orphaned)
            self._freed_at = now
        while orphaned and orphaned[0][0] <= now:
            heappop(orphaned)
        self.in_flight -= count - len(orphaned)

    @property
    def orphaned(self) -> int:
        """How many of the places taken are orphaned, as far as anybody has asked."""
        return len(self._orphaned)

    @property
    def awaited(self) -> int:
        """Attempts in flight whose answers somebody awaits: all places taken but the orphaned ones."""
        return self.in_flight - len(self._orphaned)

    @property
    def reclaims_at(self) -> float:
        """When the next orphaned place will be given back; infinity if there is none."""
        return min(self._orphaned[0][0], self._freed_at + RECLAIM_INTERVAL_SECONDS) if self._orphaned else math.inf

    def crowded(self, now: float) -> bool:
        """Whether all places are taken."""
        if self._orphaned:
            self.reclaim(now)
        return self.in_flight >= int(self.limit)

    def fall(self, now: float) -> None:
        """Bad news: less at once from now on."""
        self._fall(now, self._usually_in_flight if now - self._last_good < OUTAGE_SECONDS else 0.0)

    def enqueue(self, waiter: Waiter, now: float) -> bool:
        """Let an original wait; False if too many do."""
        if len(self.waiting) >= self._policy.max_waiting:
            return False
        self.waiting.add(waiter, now)
        return True

    def _fall(self, now: float, least: float) -> None:
        if (
            self._rises
            and now - self._last_fall >= FALL_INTERVAL_SECONDS
            and now - self._last_good >= FALL_INTERVAL_SECONDS
        ):
            self._last_fall = now
            self.limit = min(self.limit, max(self.limit * FALL_FACTOR, least, float(self._policy.min_in_flight)))

    def _end_period(self, now: float) -> None:
        if self._period_count >= _MIN_SAMPLES:
            in_flight = self._period_sum / (now - self._period_began)  # Little's law
            self._periods.append((self._period_sum / self._period_count, in_flight))
            # Each by itself: a period that a hang made longer has the usual latency and next to nothing in flight.
            middle = (len(self._periods) - 1) // 2
            self._usual = sorted(latency for latency, _ in self._periods)[middle]
            self._usually_in_flight = sorted(in_flight for _, in_flight in self._periods)[middle]
            self._brisk = BRISK_FACTOR * self._usual + JITTER_SECONDS
            self._slow = SLOW_FACTOR * self._usual + JITTER_SECONDS
        self._period_sum = 0.0
        self._period_count = 0
        self._period_began = now
