"""A look at the wall clock at the very instants at which something depends on it.

Wall clocks jump: NTP steps them, people set them, machines sleep. So the instant is waited for in short steps, each
measured anew; a jump is noticed within one of them, and the instant itself to the millisecond.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime

LOOK = 1.0
"""Seconds between two looks; nothing to a process whose loop is probed ten times as often."""

_SHORTEST = 0.001


class ClockWatch:
    """Calls `look` with the time at each of the instants it follows, and every LOOK seconds in between.

    `wall` gives an aware time. Instants that have passed are followed too: the clock may be set back over them.
    """

    def __init__(
        self,
        wall: Callable[[], datetime],
        call_later: Callable[[float, Callable[[], None]], asyncio.TimerHandle],
        look: Callable[[datetime], None],
    ) -> None:
        self._wall = wall
        self._call_later = call_later
        self._look = look
        self._instants: tuple[datetime, ...] = ()
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, instants: Iterable[datetime]) -> None:
        """Follow these from now on; without any the clock is left alone."""
        self.stop()
        self._instants = tuple(instants)
        self._arm()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _arm(self) -> None:
        if self._instants:
            now = self._wall()
            ahead = [(instant - now).total_seconds() for instant in self._instants if instant > now]
            self._timer = self._call_later(max(_SHORTEST, min([LOOK, *ahead])), self._wake)

    def _wake(self) -> None:
        self._timer = None
        try:
            self._look(self._wall())
        finally:  # the clock goes on, whatever came of the look
            if self._timer is None:  # `look` may have led to `follow`
                self._arm()
