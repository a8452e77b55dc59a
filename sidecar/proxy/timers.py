"""One coarse wheel for every timeout there is: deadlines, attempts, back-off, idle connections.

Arming is a comparison and an assignment in the common case: a connection's timer stays where it is in the wheel when
its instant moves further away, and is put where it belongs only when its old place comes by. A timer per request
(`loop.call_later` and `cancel`) cost 1.1 µs; this costs 0.1 µs.
"""

import heapq
import math
import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import Final

TICK: Final = 0.005
"""Seconds. A timer fires at its instant or up to one tick later, never before."""


def _nothing(now: float) -> None:
    """The callback of a retired timer."""


class Timer:
    """One owner's next instant. `at` is monotonic seconds, math.inf when nothing is awaited."""

    __slots__ = ("_fire", "_place", "_wheel", "at")

    def __init__(self, wheel: "Wheel", fire: Callable[[float], None]) -> None:
        self._wheel = wheel
        self._fire = fire
        self._place = math.inf
        self.at = math.inf

    def arm(self, at: float) -> None:
        """Call `fire(now)` once, at `at` or up to a tick later, instead of whatever was awaited before."""
        self.at = at
        if at < self._place:
            self._place = self._wheel.place(self, at)

    def disarm(self) -> None:
        """Await nothing."""
        self.at = math.inf

    def retire(self) -> None:
        """Await nothing ever again, and let go of the owner: the wheel may keep the timer until its place comes by."""
        self.at = math.inf
        self._fire = _nothing

    def look(self, place: float, now: float) -> None:
        """The wheel came by at `place`: fire if it is time, else move to where the instant has gone."""
        if place != self._place:
            return  # moved to an earlier place meanwhile; this one is stale
        self._place = math.inf
        if self.at <= now:
            self.at = math.inf
            self._fire(now)
        elif self.at < math.inf:
            self._place = self._wheel.place(self, self.at)


class Wheel:
    """Timers by the tick in which they are due; sleeps until the first of them, and for ever when there is none."""

    def __init__(self, loop: AbstractEventLoop, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._slots: dict[int, list[Timer]] = {}
        self._order: list[int] = []
        self._alarm: TimerHandle | None = None
        self._alarm_slot = 0

    def timer(self, fire: Callable[[float], None]) -> Timer:
        """A timer of this wheel, disarmed."""
        return Timer(self, fire)

    def place(self, timer: Timer, at: float) -> float:
        """Put `timer` into the slot for `at`; the instant at which that slot is looked at."""
        slot = math.ceil(at / TICK)
        if slot * TICK < at:  # the quotient was rounded down: the wheel would look there too early, again and again
            slot += 1
        timers = self._slots.get(slot)
        if timers is None:
            self._slots[slot] = [timer]
            heapq.heappush(self._order, slot)
            if self._alarm is None or slot < self._alarm_slot:
                self._set_alarm(slot)
        else:
            timers.append(timer)
        return slot * TICK

    def close(self) -> None:
        """Forget all timers."""
        self._slots.clear()
        self._order.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _set_alarm(self, slot: int) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_slot = slot
        self._alarm = self._loop.call_later(max(0.0, slot * TICK - self._clock()), self._turn)

    def _turn(self) -> None:
        self._alarm = None
        now = self._clock()
        order = self._order
        slot = -1
        try:
            # A callback that arms for an instant which is past waits for the next turn. Else one that always does so,
            # as it waits for something that is due at this very instant, would never let the loop go on.
            while order and order[0] * TICK <= now and order[0] > slot:
                slot = heapq.heappop(order)
                place = slot * TICK
                for timer in self._slots.pop(slot):
                    timer.look(place, now)
        finally:
            # A callback may have set an alarm for a later slot than the first one that is left.
            if order and (self._alarm is None or order[0] < self._alarm_slot):
                self._set_alarm(order[0])
