"""Slots of abandoned attempts, on which the dependency may still be working.

A caller that leaves a slow attempt takes nothing off the dependency. If its slot were free at once, the next attempt
would take it and join the same queue: in a hang of 5 s whose callers wait for 3 s the dependency would work on dead
requests for seconds afterwards (own, measured in docs/storms.md).
"""

import math
from heapq import heapify, heappop, heappush
from typing import Final

RECLAIM_INTERVAL_SECONDS: Final = 0.05
"""Between two orphaned slots that are given back without a good answer: how soon the end of a hang is noticed.
With 25 ms as much is saved and a third more is wasted, with 100 ms a third less is saved (tests/engine/fleet.py)."""
RECLAIM_SHARE: Final = 0.25
"""Of the usual rate, at most, is given back: many pods with few requests each must not send all of them into a hang."""


class OrphanedSlots:
    """A heap of slots by when they are given back at the latest. True while there are any."""

    __slots__ = ("_freed_at", "_heap", "_reclaimed_at", "interval")

    def __init__(self) -> None:
        self._heap: list[tuple[float, float]] = []  # until when, since when
        self._reclaimed_at = -math.inf
        self._freed_at = -math.inf
        self.interval = RECLAIM_INTERVAL_SECONDS
        """Seconds between two slots that are given back without a good answer."""

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def reclaims_at(self) -> float:
        """When the next slot may be given back; infinity if there is none."""
        return min(self._heap[0][0], self._freed_at + self.interval) if self._heap else math.inf

    def add(self, seconds: float, now: float) -> None:
        """A slot that had been taken for `seconds` is orphaned: it stays taken for as long again at most."""
        if not self._heap:
            self._freed_at = now
        heappush(self._heap, (now + seconds, now))

    def reclaim(self, last_good: float, now: float) -> int:
        """The number of slots to give back: all orphaned before the last good answer, else one per interval.

        And each after as long again as it was taken before: callers that are always gone too early halve what is let
        through, and no more.
        """
        heap = self._heap
        count = len(heap)
        if self._reclaimed_at < last_good:
            self._reclaimed_at = last_good
            heap[:] = [slot for slot in heap if slot[1] > last_good]
            heapify(heap)
        if heap and now - self._freed_at >= self.interval:
            heappop(heap)
            self._freed_at = now
        while heap and heap[0][0] <= now:
            heappop(heap)
        return count - len(heap)
