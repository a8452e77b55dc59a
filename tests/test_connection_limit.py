"""Waiting connections are few and end by themselves; those that are being answered are let be."""

import asyncio
from collections.abc import Callable

from sidecar.connection_limit import ConnectionLimit


class Timer(asyncio.TimerHandle):
    def __init__(self, seconds: float, call: Callable[[], object]) -> None:
        self.seconds = seconds
        self.call = call
        self.live = True

    def cancel(self) -> None:
        self.live = False


class Transport(asyncio.Transport):
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Timers:
    def __init__(self) -> None:
        self.all: list[Timer] = []

    def call_later(self, seconds: float, call: Callable[[], object]) -> Timer:
        self.all.append(Timer(seconds, call))
        return self.all[-1]

    def pass_by(self, seconds: float) -> None:
        for timer in self.all:
            if timer.live and timer.seconds <= seconds:
                timer.call()


def test_a_newcomer_takes_the_place_of_the_one_that_has_waited_longest() -> None:
    limit = ConnectionLimit(Timers().call_later, most=2)
    one, two, three = Transport(), Transport(), Transport()
    limit.opened(one)
    limit.opened(two)
    limit.asked(one)
    limit.answered(one)

    accepted = limit.opened(three)

    assert accepted
    assert (one.aborted, two.aborted, three.aborted) == (False, True, False)
    assert limit.count == 2


def test_one_that_is_being_answered_keeps_its_place() -> None:
    limit = ConnectionLimit(Timers().call_later, most=1)
    busy, newcomer = Transport(), Transport()
    limit.opened(busy)
    limit.asked(busy)

    accepted = limit.opened(newcomer)

    assert not accepted
    assert (busy.aborted, newcomer.aborted) == (False, True)


def test_a_head_that_never_ends_is_waited_for_no_longer_than_its_time_out() -> None:
    timers = Timers()
    limit = ConnectionLimit(timers.call_later, head=10.0)
    slow, asking = Transport(), Transport()
    limit.opened(slow)
    limit.opened(asking)
    limit.asked(asking)

    timers.pass_by(10.0)

    assert (slow.aborted, asking.aborted) == (True, False)


def test_after_an_answer_the_next_request_has_a_time_of_its_own() -> None:
    timers = Timers()
    limit = ConnectionLimit(timers.call_later, head=10.0, idle=75.0)
    kept = Transport()
    limit.opened(kept)
    limit.asked(kept)
    limit.answered(kept)

    timers.pass_by(10.0)
    early = kept.aborted
    timers.pass_by(75.0)

    assert (early, kept.aborted) == (False, True)


def test_a_connection_that_is_gone_holds_no_place_and_no_timer() -> None:
    timers = Timers()
    limit = ConnectionLimit(timers.call_later)
    gone = Transport()
    limit.opened(gone)

    limit.closed(gone)
    timers.pass_by(100.0)

    assert limit.count == 0
    assert not gone.aborted
