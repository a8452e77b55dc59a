"""The line of originals that wait for a place: whose turn it is decides how many of them can be saved.

Two situations look alike from its end, and want opposite things. After a stall the places come back and the line grows
shorter: everybody in it can be served in time if the oldest go first. In an overload more join than are served, for as
long as it lasts: then those at the front wait for nothing, and only the newest are answered while they still care. So
the line watches which of the two it is. And it watches for how long callers really wait, which may be less than any
policy knows: when the oldest leaves by itself, that was its patience, and nobody there has shown more.
"""

import math
from collections import deque
from typing import Final, Protocol

STALL: Final = 0.25
"""Seconds without a turn after which what the line did before is forgotten."""
MEMORY: Final = 1.0
"""Seconds after which a join or a turn counts for 1/e of a new one."""
SPARE: Final = 0.3
"""The share of its time that an original must still have to go first as the oldest: the answer takes time as well, and
a line in which everybody is served at the last moment loses all of them to the first hiccup."""
LAST: Final = 0.05
"""The share of its time with which an original is not worth a place any more."""

DISPROOF: Final = 1.1
"""Times what callers seemed to wait for: who has waited for longer shows that they wait longer."""


class Waiter(Protocol):
    """An original that waits for a place."""

    waiting_since: float
    wake_at: float
    deadline: float


class Line(deque[Waiter]):
    """Those who wait, oldest first. True while there is anybody."""

    __slots__ = ("_at", "_late", "_patience", "_seen", "_trend", "_turn_at")

    def __init__(self) -> None:
        super().__init__()
        self._late = 0  # so many at the front have too little time left to go first
        self._trend = 0.0  # joins less turns, and
        self._seen = 0.0  # joins and turns, both the less the older
        self._at = -math.inf
        self._turn_at = -math.inf
        self._patience = math.inf  # seconds for which callers wait, as far as they have shown

    @property
    def grows(self) -> bool:
        """Whether more join than have their turn, by more than the standard deviation of two equal streams."""
        return self._trend > 0 and self._trend * self._trend > self._seen / 2

    def join(self, waiter: Waiter, now: float) -> None:
        """Somebody new, at the end."""
        if not self:
            self._forget()
        self._count(1.0, now)
        self.append(waiter)

    def turn(self, now: float) -> Waiter | None:
        """Whose turn it is, out of the line then: while it grows the newest, else the oldest with SPARE of its time.

        Those with less have their turn after all others, and those with no more than LAST have none.
        """
        if now - self._turn_at > STALL:
            self._forget()
        self._turn_at = now
        self._count(-1.0, now)
        if self and now - self[0].waiting_since > DISPROOF * self._patience:
            self._patience = math.inf
            self._late = 0
        if not self.grows:
            while self._late < len(self):
                waiter = self[self._late]
                patience = min(waiter.deadline - waiter.waiting_since, self._patience)
                if waiter.waiting_since + patience - now >= SPARE * patience:
                    del self[self._late]
                    return waiter
                self._late += 1
        while self:
            waiter = self.pop()
            self._late = min(self._late, len(self))
            if waiter.deadline - now > LAST * (waiter.deadline - waiter.waiting_since):
                return waiter
        return None

    def desert(self, waiter: Waiter, now: float) -> None:
        """Its caller has left."""
        if self and self[0] is waiter:
            self._patience = now - waiter.waiting_since
        self.leave(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Somebody waits no longer, if it did."""
        try:
            place = self.index(waiter)
        except ValueError:
            return
        del self[place]
        if place < self._late:
            self._late -= 1

    def _forget(self) -> None:
        self._trend = self._seen = 0.0
        if not self:
            self._late = 0

    def _count(self, change: float, now: float) -> None:
        kept = math.exp((self._at - now) / MEMORY)
        self._trend = self._trend * kept + change
        self._seen = self._seen * kept + 1.0
        self._at = now
