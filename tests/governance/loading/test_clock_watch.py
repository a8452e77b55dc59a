from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from sidecar.governance.loading.clock_watch import LOOK, ClockWatch

MIDNIGHT = datetime(2026, 12, 5, tzinfo=UTC)


class Timer:
    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """A monotonic clock and a wall clock beside it, which can be set; timers run when time passes."""

    def __init__(self, wall: datetime) -> None:
        self.offset = wall
        self.now = 0.0
        self.timers: list[Timer] = []
        self.looks: list[datetime] = []
        self.watch = ClockWatch(self.wall, self.call_later, self.looks.append)  # type: ignore[arg-type]

    def wall(self) -> datetime:
        return self.offset + timedelta(seconds=self.now)

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        assert 0 < delay <= LOOK
        self.timers.append(Timer(self.now + delay, call))
        return self.timers[-1]

    def armed(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.cancelled]

    def pass_until(self, end: float) -> None:
        while due := [timer for timer in self.armed() if timer.due <= end]:
            timer = min(due, key=lambda timer: timer.due)
            self.timers.remove(timer)
            self.now = max(self.now, timer.due)
            timer.call()
        self.now = end


def test_the_clock_is_looked_at_at_the_very_instant() -> None:
    world = World(MIDNIGHT - timedelta(seconds=5.25))
    world.watch.follow([MIDNIGHT])

    world.pass_until(5.3)

    assert world.looks[-1] == MIDNIGHT


@pytest.mark.parametrize("jump", [timedelta(days=30), timedelta(days=-30)])
def test_a_clock_that_jumps_over_the_instant_is_noticed_within_one_look(jump: timedelta) -> None:
    world = World(MIDNIGHT - timedelta(days=15) if jump > timedelta(0) else MIDNIGHT + timedelta(days=15))
    world.watch.follow([MIDNIGHT])
    world.pass_until(10.0)

    world.offset += jump
    world.pass_until(10.0 + LOOK)

    assert (world.looks[-1] > MIDNIGHT) == (jump > timedelta(0))


def test_a_clock_that_is_set_to_just_before_the_instant_is_followed_from_there() -> None:
    world = World(MIDNIGHT - timedelta(days=15))
    world.watch.follow([MIDNIGHT])

    world.offset = MIDNIGHT - timedelta(seconds=3.5)
    world.pass_until(3.5)

    assert world.looks[-1] == MIDNIGHT


def test_there_is_one_timer_at_a_time_and_none_for_no_instants() -> None:
    world = World(MIDNIGHT)
    world.watch.follow([])
    idle = list(world.armed())

    world.watch.follow([MIDNIGHT, MIDNIGHT + timedelta(days=1)])
    world.watch.follow([MIDNIGHT + timedelta(days=1)])
    followed = len(world.armed())
    world.watch.stop()

    assert (idle, followed, world.armed()) == ([], 1, [])


def test_what_a_look_leads_to_may_change_what_is_followed() -> None:
    world = World(MIDNIGHT - timedelta(seconds=0.5))

    def look(now: datetime) -> None:
        world.looks.append(now)
        world.watch.follow([MIDNIGHT])

    world.watch = ClockWatch(world.wall, world.call_later, look)  # type: ignore[arg-type]
    world.watch.follow([MIDNIGHT])
    world.pass_until(5.0)

    assert len(world.looks) == 5
    assert len(world.armed()) == 1


def test_a_look_that_fails_does_not_stop_the_clock() -> None:
    world = World(MIDNIGHT - timedelta(seconds=5.25))
    world.watch.follow([MIDNIGHT])
    looks = iter([True])

    def fails_once(now: datetime) -> None:
        if next(looks, False):
            raise ValueError("of this look")
        world.looks.append(now)

    world.watch._look = fails_once
    with pytest.raises(ValueError, match="of this look"):
        world.pass_until(1.5)
    world.pass_until(5.3)

    assert world.looks[-1] == MIDNIGHT
