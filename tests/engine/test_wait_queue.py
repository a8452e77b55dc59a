from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.engine.wait_queue import (
    DECAY_SECONDS,
    EXPIRED_SHARE,
    MIN_REMAINING_SHARE,
    PATIENCE_TOLERANCE,
    STALL_SECONDS,
    Waiter,
    WaitQueue,
)


@dataclass(eq=False)
class Original:
    waiting_since: float
    deadline: float
    wake_at: float = 0.0


def line_of(*waiters: Waiter) -> WaitQueue:
    queue = WaitQueue()
    for waiter in waiters:
        queue.add(waiter, waiter.waiting_since)
    return queue


def overload(until: float, patience: float = 3.0) -> WaitQueue:
    """A hundred join each second, and fifty have their turn."""
    queue = WaitQueue()
    for k in range(int(until * 100)):
        queue.add(Original(k * 0.01, k * 0.01 + patience), k * 0.01)
        if k % 2:
            queue.take(k * 0.01)
    return queue


def test_the_oldest_has_its_turn_first() -> None:
    waiters = [Original(0.1 * k, 10.0) for k in range(3)]
    queue = line_of(*waiters)

    turns = [queue.take(1.0) for _ in range(4)]

    assert turns == [*waiters, None]
    assert not queue


def test_after_a_stall_the_oldest_goes_first_however_many_have_joined() -> None:
    waiters = [Original(0.01 * k, 0.01 * k + 3.0) for k in range(200)]
    queue = line_of(*waiters)

    turns = [queue.take(2.0), queue.take(2.0)]

    assert turns == waiters[:2]


def test_the_newest_goes_first_while_more_join_than_have_their_turn() -> None:
    queue = overload(2.0)
    newest = queue[-1]

    assert queue.grows
    assert queue.take(2.0) is newest


def test_an_overload_is_forgotten_when_the_line_stood_still_for_a_while() -> None:
    queue = overload(1.0)
    oldest = queue[0]

    assert queue.take(1.0 + STALL_SECONDS) is oldest


def test_a_stall_is_only_one_after_its_time() -> None:
    queue = overload(1.0)

    assert queue.take(0.99 + STALL_SECONDS) is not queue[0]
    assert queue.grows


def test_two_equal_streams_are_no_growth() -> None:
    queue = WaitQueue()
    for _ in range(100):
        queue.add(Original(0.0, 30.0), 0.0)
    queue.take(1.0)

    grown = []
    for k in range(1000):  # joins and turns in pairs, thrice in a row each way
        now = 1.0 + k * 0.01
        queue.take(now) if k // 3 % 2 else queue.add(Original(now, now + 30.0), now)
        grown.append(queue.grows)

    assert not any(grown[20:])


def test_an_overload_that_is_over_is_forgotten_within_seconds() -> None:
    queue = overload(4.0, patience=30.0)

    for k in range(int(1.5 * DECAY_SECONDS * 100)):
        queue.take(4.0 + k * 0.01)

    assert not queue.grows


def test_who_has_little_time_left_lets_the_others_go_first() -> None:
    late, alive = Original(0.0, 4.0), Original(1.0, 10.0)
    queue = line_of(late, alive)

    turns = [queue.take(4.0 - 4.0 * MIN_REMAINING_SHARE + 0.01) for _ in range(3)]

    assert turns == [alive, late, None]


def test_who_just_has_enough_goes_first() -> None:
    old, new = Original(0.0, 4.0), Original(1.0, 10.0)
    queue = line_of(old, new)

    assert queue.take(4.0 - 4.0 * MIN_REMAINING_SHARE) is old


def test_who_cannot_be_saved_has_no_turn() -> None:
    lost, alive = Original(0.0, 4.0), Original(0.1, 30.0)
    queue = line_of(lost, alive)

    turns = [queue.take(4.0 - 3.9 * EXPIRED_SHARE) for _ in range(2)]

    assert turns == [alive, None]
    assert not queue


def test_who_leaves_has_no_turn_and_may_leave_twice() -> None:
    gone, other = Original(0.0, 1.0), Original(0.0, 1.0)
    queue = line_of(gone, other)

    queue.remove_waiter(gone)
    queue.remove_waiter(gone)

    assert [queue.take(0.0), queue.take(0.0)] == [other, None]


@pytest.mark.parametrize("leaver", [0, 2])
def test_who_is_late_stays_late_when_others_leave(leaver: int) -> None:
    late = [Original(0.0, 4.0), Original(0.0, 4.0)]
    alive = [Original(1.0, 10.0) for _ in range(3)]
    queue = line_of(*late, *alive)
    assert queue.take(3.5) is alive[0]

    queue.remove_waiter([*late, *alive[1:]][leaver])
    turns = [queue.take(3.5) for _ in range(4)]

    left = [waiter for waiter in (*alive[1:], *reversed(late)) if waiter is not [*late, *alive[1:]][leaver]]
    assert turns == [*left, None]


def impatient(joins: int = 10) -> WaitQueue:
    """Somebody joins every tenth of a second who could wait for ten; at 3.0 the first one leaves."""
    queue = line_of(*(Original(0.1 * k, 0.1 * k + 10.0) for k in range(joins)))
    queue.leave(queue[0], 3.0)
    return queue


def test_the_oldest_who_leaves_shows_how_long_callers_wait() -> None:
    queue = impatient(joins=30)

    turn = queue.take(3.0)

    assert turn is not None
    assert turn.waiting_since == pytest.approx(
        3.0 - (1 - MIN_REMAINING_SHARE) * 3.0
    )  # the oldest with MIN_REMAINING_SHARE of three seconds


def test_whoever_waits_longer_shows_that_callers_do() -> None:
    queue = impatient(joins=30)

    turn = queue.take(0.1 + 3.0 * PATIENCE_TOLERANCE + 0.01)

    assert turn is not None
    assert turn.waiting_since == pytest.approx(0.1)


def test_one_who_leaves_before_older_ones_shows_nothing() -> None:
    queue = line_of(*(Original(0.1 * k, 0.1 * k + 10.0) for k in range(3)))
    oldest = queue[0]

    queue.leave(queue[1], 0.2)

    assert queue.take(5.0) is oldest


class Queueing(RuleBasedStateMachine):
    """Originals of different patience join, leave and have their turn in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue = WaitQueue()
        self.there: list[Original] = []

    @rule(count=st.sampled_from([1, 5, 50]), patience=st.sampled_from([0.1, 1.0, 10.0]))
    def some_join(self, count: int, patience: float) -> None:
        for _ in range(count):
            waiter = Original(self.now, self.now + patience)
            self.queue.add(waiter, self.now)
            self.there.append(waiter)

    @precondition(lambda self: self.there)
    @rule(which=st.sampled_from([0, -1, 3]), impatient=st.booleans())
    def one_leaves(self, which: int, impatient: bool) -> None:
        waiter = self.there.pop(which % len(self.there) if which > 0 else which)
        if impatient:
            self.queue.leave(waiter, self.now)
        else:
            self.queue.remove_waiter(waiter)

    @rule(count=st.sampled_from([1, 5, 50]))
    def some_have_their_turn(self, count: int) -> None:
        for _ in range(count):
            worth = [w for w in self.there if w.deadline - self.now > EXPIRED_SHARE * (w.deadline - w.waiting_since)]

            turn = self.queue.take(self.now)

            assert (turn in worth) if worth else turn is None
            self.there = [waiter for waiter in self.queue if isinstance(waiter, Original)]

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.1, STALL_SECONDS, 1.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def nobody_is_lost_and_the_late_are_at_the_front(self) -> None:
        assert list(self.queue) == self.there
        assert 0 <= self.queue._expiring <= len(self.queue)


Queueing.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, derandomize=True)
test_whoever_can_be_saved_has_a_turn_in_the_end = Queueing.TestCase
