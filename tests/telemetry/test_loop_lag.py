"""The lag is how much later than asked the loop calls back."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from sidecar.telemetry.loop_lag import PROBE_SECONDS, REMEMBERED_PROBES, LoopLag


class Timer:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Loop:
    """A loop that calls back when the test says so."""

    now: float = 100.0
    pending: list[tuple[float, Callable[[], None], Timer]] = field(default_factory=list)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer()
        self.pending.append((self.now + seconds, callback, timer))
        return timer

    def turn(self, late: float) -> None:
        due, callback, _ = self.pending.pop()
        self.now = due + late
        callback()


def lag_on(loop: Loop) -> LoopLag:
    return LoopLag(cast("asyncio.AbstractEventLoop", loop), lambda: loop.now)


def test_it_asks_to_be_called_back_and_notes_how_late_that_was() -> None:
    loop = Loop()
    lag = lag_on(loop)
    lag.start()

    loop.turn(late=0.25)

    assert lag.seconds == 0.25
    assert [due for due, _, _ in loop.pending] == [loop.now + PROBE_SECONDS]


def test_the_longest_of_the_last_probes_is_shown_and_forgotten_in_time() -> None:
    loop = Loop()
    lag = lag_on(loop)
    lag.start()
    loop.turn(late=0.5)

    for _ in range(REMEMBERED_PROBES - 1):
        loop.turn(late=0.125)
    before = lag.seconds
    loop.turn(late=0.125)

    assert before == 0.5
    assert lag.seconds == 0.125


def test_a_timer_that_is_early_is_no_negative_lag() -> None:
    loop = Loop()
    lag = lag_on(loop)
    lag.start()

    loop.turn(late=-0.001)

    assert lag.seconds == 0.0


def test_it_can_be_stopped_before_and_after_its_start() -> None:
    loop = Loop()
    lag = lag_on(loop)
    lag.stop()
    lag.start()

    lag.stop()

    assert [timer.cancelled for _, _, timer in loop.pending] == [True]
