"""The wheel, with a clock and a loop that only move when told."""

import math
import weakref
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from sidecar.proxy.timers import TICK, Timer, Wheel


class Alarm:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Time:
    """Virtual time: `call_later` as an event loop has it, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.alarms: list[Alarm] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        alarm = Alarm(self.now + delay, callback)
        self.alarms.append(alarm)
        return alarm

    def clock(self) -> float:
        return self.now

    def pass_to(self, until: float) -> None:
        while due := [alarm for alarm in self.alarms if not alarm.cancelled and alarm.at <= until]:
            alarm = min(due, key=lambda one: one.at)
            self.alarms.remove(alarm)
            self.now = max(self.now, alarm.at)
            alarm.callback()
        self.now = until


def wheel_in(time: Time) -> Wheel:
    return Wheel(time, time.clock)  # type: ignore[arg-type]


def test_a_timer_fires_at_its_instant_or_a_tick_later() -> None:
    time = Time()
    fired: list[float] = []
    timer = wheel_in(time).timer(fired.append)

    timer.arm(101.0)
    time.pass_to(110.0)

    assert len(fired) == 1
    assert 101.0 <= fired[0] <= 101.0 + TICK + 1e-6


def test_a_timer_that_is_moved_away_fires_only_at_its_new_instant() -> None:
    time = Time()
    fired: list[float] = []
    timer = wheel_in(time).timer(fired.append)

    timer.arm(101.0)
    timer.arm(105.0)
    time.pass_to(104.0)
    before = list(fired)
    time.pass_to(106.0)

    assert before == []
    assert len(fired) == 1


def test_a_disarmed_timer_does_not_fire() -> None:
    time = Time()
    fired: list[float] = []
    timer = wheel_in(time).timer(fired.append)

    timer.arm(101.0)
    timer.disarm()
    time.pass_to(110.0)

    assert fired == []


def test_arming_a_later_timer_while_one_fires_does_not_delay_the_others() -> None:
    time = Time()
    fired: list[str] = []
    wheel = wheel_in(time)

    def again(_: float) -> None:
        fired.append("first")
        first.arm(200.0)

    first: Timer = wheel.timer(again)
    second = wheel.timer(lambda _: fired.append("second"))
    first.arm(101.0)
    second.arm(102.0)
    time.pass_to(103.0)

    assert fired == ["first", "second"]


def test_an_empty_wheel_sleeps_for_ever() -> None:
    time = Time()
    timer = wheel_in(time).timer(lambda _: None)

    timer.arm(101.0)
    time.pass_to(102.0)

    assert [alarm for alarm in time.alarms if not alarm.cancelled] == []


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0, 20)), max_size=40))
def test_every_timer_fires_once_for_its_last_instant_and_never_early(moves: list[tuple[int, float]]) -> None:
    time = Time()
    wheel = wheel_in(time)
    fired: dict[int, list[float]] = {number: [] for number in range(5)}
    timers = [wheel.timer(fired[number].append) for number in range(5)]
    last = dict.fromkeys(range(5), math.inf)

    for number, delay in moves:
        last[number] = time.now + delay
        timers[number].arm(last[number])
    time.pass_to(200.0)

    for number, instant in last.items():
        if instant == math.inf:
            assert fired[number] == []
        else:
            assert len(fired[number]) == 1
            assert instant <= fired[number][0] <= instant + TICK + 1e-6


def test_a_retired_timer_never_fires_and_lets_go_of_its_owner_though_the_wheel_still_has_it() -> None:
    class Owner:
        fired = 0

        def on_timer(self, now: float) -> None:
            del now
            self.fired += 1

    time = Time()
    proxy = Owner()
    timer = wheel_in(time).timer(proxy.on_timer)
    timer.arm(101.0)
    watched = weakref.ref(proxy)

    timer.retire()
    del proxy
    freed = watched() is None
    time.pass_to(110.0)

    assert freed
    assert timer.at == math.inf


@given(st.integers(1, 2_000_000), st.integers(0, 3))
def test_no_place_is_before_its_instant_however_the_quotient_is_rounded(ticks: int, ulps: int) -> None:
    wheel = wheel_in(Time())
    at = ticks * TICK
    for _ in range(ulps):
        at = math.nextafter(at, math.inf)

    place = wheel.place(wheel.timer(lambda now: None), at)

    assert at <= place <= at + TICK * 1.001


def test_a_timer_that_is_armed_again_for_the_same_instant_lets_the_loop_go_on_in_between() -> None:
    time = Time()
    fired: list[float] = []
    beside: list[float] = []

    def again(now: float) -> None:
        fired.append(now)
        if len(fired) < 1000:
            timer.arm(now)

    wheel = wheel_in(time)
    timer = wheel.timer(again)
    timer.arm(101.0)
    wheel.timer(beside.append).arm(101.0 + 3 * TICK)
    (alarm,) = time.alarms

    time.alarms.clear()
    time.now = 102.0
    alarm.callback()
    during = (len(fired), len(beside))
    time.pass_to(102.0)

    assert during[0] <= 2
    assert len(fired) == 1000
    assert len(beside) == 1
