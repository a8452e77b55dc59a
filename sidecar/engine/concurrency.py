"""The in-flight limit: the control that decides whether a fleet recovers.

A dependency that works on requests whose callers have gone has to be given time to drain its queue, and nobody knows
the right number in advance. So the limit follows what is seen: it falls when attempts fail, time out or take far longer
than they lately did, and rises while they are answered as usual.
"""

import math
from collections import deque
from typing import Final, Protocol

from sidecar.engine.policy import ConcurrencyPolicy, LimitKind

FALL: Final = 0.7
FALL_INTERVAL: Final = 0.1
"""Seconds between two falls: one burst of bad news is one piece of news."""
SLOW_FACTOR: Final = 4.0
SLACK: Final = 0.005
"""Seconds that are nothing: below a few milliseconds the scheduler's jitter is many times the service time."""
_PERIOD: Final = 5.0
_PERIODS: Final = 4
_MIN_SAMPLES: Final = 10
_SMOOTHING: Final = 0.1


class Waiter(Protocol):
    """An original that waits for a place."""

    waiting_since: float
    deadline: float


class ConcurrencyLimit:
    """One per destination. Holds the number in flight, the limit, and the originals that wait.

    Latency is slow when its moving mean (weight 1/10) is over four times the lowest mean of the last periods of
    five seconds, plus SLACK, and the sample itself is as slow. Means, not minima: one cheap kind of request among dear
    ones must not make those look slow.
    """

    __slots__ = (
        "_baselines",
        "_floor",
        "_last_fall",
        "_last_good",
        "_mean",
        "_period_count",
        "_period_end",
        "_period_sum",
        "_policy",
        "_rises",
        "in_flight",
        "limit",
        "waiting",
    )

    def __init__(self, policy: ConcurrencyPolicy, now: float) -> None:
        self.in_flight = 0
        self.waiting: deque[Waiter] = deque()
        self._last_fall = -math.inf
        self._last_good = -math.inf
        self._mean = 0.0
        self._floor = math.inf
        self._baselines: deque[float] = deque(maxlen=_PERIODS)
        self._period_sum = 0.0
        self._period_count = 0
        self._period_end = now + _PERIOD
        self.limit = 0.0
        self._policy = policy
        self._rises = True
        self.adopt(policy, now)

    @property
    def room(self) -> bool:
        """Whether one more may be in flight."""
        return self.in_flight < int(self.limit)

    def adopt(self, policy: ConcurrencyPolicy, now: float) -> None:
        """Another policy from now on; what is known stays."""
        del now
        self._policy = policy
        self._rises = policy.limit is LimitKind.ADAPTIVE
        if not self._rises:
            self.limit = float(policy.max_in_flight)
        else:
            self.limit = min(max(self.limit or policy.initial, policy.min_in_flight), policy.max_in_flight)

    def stretch(self, now: float) -> bool:
        """Make room for one more because nothing speaks against it: answers are coming in as usual this very moment.

        This is how a healthy destination is never held back by a limit that has not found its size yet; in a hang no
        answers come, and the limit stays.
        """
        lately = 0.05 if self._floor == math.inf else max(0.05, 2 * self._floor)
        if (
            not self._rises
            or now - self._last_good > lately
            or now - self._last_fall < _PERIOD
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
        mean = self._mean = self._mean + _SMOOTHING * (seconds - self._mean) if self._mean else seconds
        self._period_sum += seconds
        self._period_count += 1
        if now >= self._period_end:
            self._end_period(now)
        floor = self._floor
        if seconds > SLOW_FACTOR * floor + SLACK and mean > SLOW_FACTOR * floor + SLACK:
            self.fall(now)
            return
        self._last_good = now
        limit = self.limit
        if 2 * (self.in_flight + 1) >= limit and limit < self._policy.max_in_flight:
            self.limit = limit + 1 / limit

    def failed(self, now: float) -> None:
        """An attempt in flight ended in a failure."""
        self.in_flight -= 1
        self.fall(now)

    def released(self) -> None:
        """An attempt in flight ended in a way that says nothing."""
        self.in_flight -= 1

    def fall(self, now: float) -> None:
        """Bad news: less at once from now on."""
        if self._rises and now - self._last_fall >= FALL_INTERVAL:
            self._last_fall = now
            self.limit = max(float(self._policy.min_in_flight), self.limit * FALL)

    def enqueue(self, waiter: Waiter) -> bool:
        """Let an original wait; False if too many do."""
        if len(self.waiting) >= self._policy.max_waiting:
            return False
        self.waiting.append(waiter)
        return True

    def dequeue(self, now: float) -> Waiter | None:
        """The original whose turn it is: the oldest, or the newest once the oldest has waited half of its time.

        Those at the front are then better spent on requests that can still be saved.
        """
        waiting = self.waiting
        while waiting:
            oldest = waiting[0]
            patience = oldest.deadline - oldest.waiting_since
            waiter = waiting.pop() if now - oldest.waiting_since > patience / 2 else waiting.popleft()
            if waiter.deadline > now:
                return waiter
        return None

    def leave(self, waiter: Waiter) -> None:
        """An original waits no longer."""
        try:
            self.waiting.remove(waiter)
        except ValueError:
            return

    def _end_period(self, now: float) -> None:
        if self._period_count >= _MIN_SAMPLES:
            self._baselines.append(self._period_sum / self._period_count)
            self._floor = min(self._baselines)
        self._period_sum = 0.0
        self._period_count = 0
        self._period_end = now + _PERIOD
