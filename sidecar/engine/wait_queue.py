"""The queue of originals that wait for a slot in flight.

The discipline adapts, because two situations that look alike want opposite orders. After a stall slots come back and
the queue shrinks: first in, first out serves every waiter in time. In an overload more waiters are added than are
taken, for as long as it lasts: the oldest expire whatever is done, so last in, first out serves those that can still be
saved (own, measured in docs/storms.md; compare adaptive LIFO, Maurer, "Fail at Scale", ACM Queue 13(8), 2015).

The queue also learns how long callers wait, which may be less than the policy's deadline: a caller that leaves the head
of the queue has shown its patience, and no other there has shown more.
"""

import math
from collections import deque
from typing import Final, Protocol

STALL_SECONDS: Final = 0.25
"""After so long without a `take` the trend of additions and takes is forgotten."""
DECAY_SECONDS: Final = 1.0
"""The age at which an addition or a take counts for 1/e of a new one."""
MIN_REMAINING_SHARE: Final = 0.3
"""The share of its time that the oldest waiter must still have to be taken first: the answer takes time as well, and a
queue that serves every waiter at its last moment loses all of them to the first delay."""
MAX_ANSWER_SHARE: Final = 0.8
"""Of its time, that is kept for the answer at most, where answers usually take so long."""
EXPIRED_SHARE: Final = 0.05
"""A waiter with this share of its time left, or less, is not given a slot any more."""
PATIENCE_TOLERANCE: Final = 1.1
"""A waiter older than this multiple of the learned patience disproves it."""


class Waiter(Protocol):
    """An original that waits for a slot. All instants are monotonic seconds."""

    waiting_since: float
    wake_at: float
    deadline: float


class WaitQueue(deque[Waiter]):
    """The waiters, oldest first."""

    __slots__ = ("_counted_at", "_expiring", "_patience", "_seen", "_taken_at", "_trend", "answer_seconds")

    def __init__(self) -> None:
        super().__init__()
        self.answer_seconds = 0.0
        """The usual seconds until an answer, as far as is known."""
        self._expiring = 0  # so many at the head have less than MIN_REMAINING_SHARE of their time
        self._trend = 0.0  # additions minus takes, and
        self._seen = 0.0  # additions plus takes, both decayed
        self._counted_at = -math.inf
        self._taken_at = -math.inf
        self._patience = math.inf  # seconds for which callers wait, as far as is known

    @property
    def grows(self) -> bool:
        """Whether additions exceed takes by more than the standard deviation of two streams of equal rate."""
        return self._trend > 0 and self._trend * self._trend > self._seen / 2

    def add(self, waiter: Waiter, now: float) -> None:
        """Append a waiter."""
        if not self:
            self.forget_trend()
        self._count(1.0, now)
        self.append(waiter)

    def take(self, now: float) -> Waiter | None:
        """Remove and return the waiter that gets the next slot; None if no waiter has enough time left.

        While the queue grows this is the newest, else the oldest with at least MIN_REMAINING_SHARE of its time. Those
        with less are taken after all others, newest first; those with EXPIRED_SHARE or less are dropped.
        """
        if now - self._taken_at > STALL_SECONDS:
            self.forget_trend()
        self._taken_at = now
        self._count(-1.0, now)
        if self and now - self[0].waiting_since > PATIENCE_TOLERANCE * self._patience:
            self._patience = math.inf
            self._expiring = 0
        if not self.grows:
            while self._expiring < len(self):
                waiter = self[self._expiring]
                patience = min(waiter.deadline - waiter.waiting_since, self._patience)
                least = max(MIN_REMAINING_SHARE * patience, min(self.answer_seconds, MAX_ANSWER_SHARE * patience))
                if waiter.waiting_since + patience - now >= least:
                    del self[self._expiring]
                    return waiter
                self._expiring += 1
        while self:
            waiter = self.pop()
            self._expiring = min(self._expiring, len(self))
            if waiter.deadline - now > EXPIRED_SHARE * (waiter.deadline - waiter.waiting_since):
                return waiter
        return None

    def leave(self, waiter: Waiter, now: float) -> None:
        """Remove a waiter whose caller has gone, and learn from it how long callers wait."""
        if self and self[0] is waiter:
            self._patience = now - waiter.waiting_since
        self.remove_waiter(waiter)

    def remove_waiter(self, waiter: Waiter) -> None:
        """Remove a waiter, if it is in the queue."""
        try:
            index = self.index(waiter)
        except ValueError:
            return
        del self[index]
        if index < self._expiring:
            self._expiring -= 1

    def forget_trend(self) -> None:
        """A stall is over: how fast waiters were added and taken in it says nothing about the time after it."""
        self._trend = self._seen = 0.0
        if not self:
            self._expiring = 0

    def _count(self, change: float, now: float) -> None:
        kept = math.exp((self._counted_at - now) / DECAY_SECONDS)
        self._trend = self._trend * kept + change
        self._seen = self._seen * kept + 1.0
        self._counted_at = now
