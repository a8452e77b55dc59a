"""Virtual time: what is to happen, in the order of its instants."""

from collections import OrderedDict
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

TICK: Final = 0.005
"""Seconds between two looks at the lanes: the proxy's own timer wheel turns as coarsely."""


class Lane:
    """Timers that are all equally long, so that they fall due in the order in which they were set.

    Most are dropped long before. What they were for is not held until they would have been due: with 40 000 requests a
    second that were a hundred thousand objects.
    """

    __slots__ = ("_fire", "_seconds", "_timers")

    def __init__(self, seconds: float, fire: Callable[[Any, int], None]) -> None:
        self._seconds = seconds
        self._fire = fire
        self._timers: OrderedDict[object, tuple[float, int]] = OrderedDict()

    def add(self, now: float, what: object, ticket: int) -> None:
        """Call `fire(what, ticket)` when the time is over. `what` has no other timer here."""
        self._timers[what] = (now + self._seconds, ticket)

    def drop(self, what: object) -> None:
        """Do not call for it, if that was still to come."""
        self._timers.pop(what, None)

    def look(self, now: float) -> None:
        """Fire what is due."""
        timers, fire = self._timers, self._fire
        while timers:
            what = next(iter(timers))
            due, ticket = timers[what]
            if due > now:
                return
            del timers[what]
            fire(what, ticket)


class Agenda:
    """Seconds from the beginning. Things at the same instant happen in the order in which they were put down."""

    __slots__ = ("_lanes", "_order", "_queue", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[[Any, int], None], Any, int]] = []
        self._order = count()
        self._lanes: list[Lane] = []

    def at(self, instant: float, then: Callable[[Any, int], None], what: object = None, number: int = 0) -> None:
        """Call `then(what, number)` at an instant that is not in the past."""
        heappush(self._queue, (instant, next(self._order), then, what, number))

    def lane(self, seconds: float, fire: Callable[[Any, int], None]) -> Lane:
        """A lane of timers of this length, looked at every TICK."""
        lane = Lane(seconds, fire)
        self._lanes.append(lane)
        return lane

    def run(self, until: float) -> None:
        """Let everything happen that is due by then."""
        queue = self._queue
        tick = int(self.now / TICK) + 1
        while True:
            edge = min(tick * TICK, until)
            while queue and queue[0][0] <= edge:
                self.now, _, then, what, number = heappop(queue)
                then(what, number)
            self.now = edge
            for lane in self._lanes:
                lane.look(edge)
            if edge >= until and not (queue and queue[0][0] <= until):
                return
            tick += 1
