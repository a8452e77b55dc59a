"""Virtual time: what is to happen, in the order of its instants."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

TICK: Final = 0.005
"""Seconds between two looks at the lanes: the proxy's own timer wheel turns as coarsely."""


class Lane:
    """Timers that are all equally long, so that they fall due in the order in which they were set.

    Most are void by then. One costs an append and a popleft (0.1 µs) where the heap would cost a push and a pop among
    tens of thousands (1.5 µs).
    """

    __slots__ = ("_fire", "_seconds", "_timers")

    def __init__(self, seconds: float, fire: Callable[[Any, int], None]) -> None:
        self._seconds = seconds
        self._fire = fire
        self._timers: deque[tuple[float, Any, int]] = deque()

    def add(self, now: float, what: object, ticket: int) -> None:
        """Call `fire(what, ticket)` when the time is over."""
        self._timers.append((now + self._seconds, what, ticket))

    def look(self, now: float) -> None:
        """Fire what is due."""
        timers, fire = self._timers, self._fire
        while timers and timers[0][0] <= now:
            _, what, ticket = timers.popleft()
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
