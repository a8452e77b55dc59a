from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.engine.line import DISPROOF, LAST, MEMORY, SPARE, STALL, Line, Waiter


@dataclass(eq=False)
class Original:
    waiting_since: float
    deadline: float
    wake_at: float = 0.0


def line_of(*waiters: Waiter) -> Line:
    line = Line()
    for waiter in waiters:
        line.join(waiter, waiter.waiting_since)
    return line


def overload(until: float, patience: float = 3.0) -> Line:
    """A hundred join each second, and fifty have their turn."""
    line = Line()
    for k in range(int(until * 100)):
        line.join(Original(k * 0.01, k * 0.01 + patience), k * 0.01)
        if k % 2:
            line.turn(k * 0.01)
    return line


def test_the_oldest_has_its_turn_first() -> None:
    waiters = [Original(0.1 * k, 10.0) for k in range(3)]
    line = line_of(*waiters)

    turns = [line.turn(1.0) for _ in range(4)]

    assert turns == [*waiters, None]
    assert not line


def test_after_a_stall_the_oldest_goes_first_however_many_have_joined() -> None:
    waiters = [Original(0.01 * k, 0.01 * k + 3.0) for k in range(200)]
    line = line_of(*waiters)

    turns = [line.turn(2.0), line.turn(2.0)]

    assert turns == waiters[:2]


def test_the_newest_goes_first_while_more_join_than_have_their_turn() -> None:
    line = overload(2.0)
    newest = line[-1]

    assert line.grows
    assert line.turn(2.0) is newest


def test_an_overload_is_forgotten_when_the_line_stood_still_for_a_while() -> None:
    line = overload(1.0)
    oldest = line[0]

    assert line.turn(1.0 + STALL) is oldest


def test_a_stall_is_only_one_after_its_time() -> None:
    line = overload(1.0)

    assert line.turn(0.99 + STALL) is not line[0]
    assert line.grows


def test_two_equal_streams_are_no_growth() -> None:
    line = Line()
    for _ in range(100):
        line.join(Original(0.0, 30.0), 0.0)
    line.turn(1.0)

    grown = []
    for k in range(1000):  # joins and turns in pairs, thrice in a row each way
        now = 1.0 + k * 0.01
        line.turn(now) if k // 3 % 2 else line.join(Original(now, now + 30.0), now)
        grown.append(line.grows)

    assert not any(grown[20:])


def test_an_overload_that_is_over_is_forgotten_within_seconds() -> None:
    line = overload(4.0, patience=30.0)

    for k in range(int(1.5 * MEMORY * 100)):
        line.turn(4.0 + k * 0.01)

    assert not line.grows


def test_who_has_little_time_left_lets_the_others_go_first() -> None:
    late, alive = Original(0.0, 4.0), Original(1.0, 10.0)
    line = line_of(late, alive)

    turns = [line.turn(4.0 - 4.0 * SPARE + 0.01) for _ in range(3)]

    assert turns == [alive, late, None]


def test_who_just_has_enough_goes_first() -> None:
    old, new = Original(0.0, 4.0), Original(1.0, 10.0)
    line = line_of(old, new)

    assert line.turn(4.0 - 4.0 * SPARE) is old


def test_who_cannot_be_saved_has_no_turn() -> None:
    lost, alive = Original(0.0, 4.0), Original(0.1, 30.0)
    line = line_of(lost, alive)

    turns = [line.turn(4.0 - 3.9 * LAST) for _ in range(2)]

    assert turns == [alive, None]
    assert not line


def test_who_leaves_has_no_turn_and_may_leave_twice() -> None:
    gone, other = Original(0.0, 1.0), Original(0.0, 1.0)
    line = line_of(gone, other)

    line.leave(gone)
    line.leave(gone)

    assert [line.turn(0.0), line.turn(0.0)] == [other, None]


@pytest.mark.parametrize("leaver", [0, 2])
def test_who_is_late_stays_late_when_others_leave(leaver: int) -> None:
    late = [Original(0.0, 4.0), Original(0.0, 4.0)]
    alive = [Original(1.0, 10.0) for _ in range(3)]
    line = line_of(*late, *alive)
    assert line.turn(3.5) is alive[0]

    line.leave([*late, *alive[1:]][leaver])
    turns = [line.turn(3.5) for _ in range(4)]

    left = [waiter for waiter in (*alive[1:], *reversed(late)) if waiter is not [*late, *alive[1:]][leaver]]
    assert turns == [*left, None]


def impatient(joins: int = 10) -> Line:
    """Somebody joins every tenth of a second who could wait for ten; at 3.0 the first one leaves."""
    line = line_of(*(Original(0.1 * k, 0.1 * k + 10.0) for k in range(joins)))
    line.desert(line[0], 3.0)
    return line


def test_the_oldest_who_leaves_shows_how_long_callers_wait() -> None:
    line = impatient(joins=30)

    turn = line.turn(3.0)

    assert turn is not None
    assert turn.waiting_since == pytest.approx(3.0 - (1 - SPARE) * 3.0)  # the oldest with SPARE of three seconds


def test_whoever_waits_longer_shows_that_callers_do() -> None:
    line = impatient(joins=30)

    turn = line.turn(0.1 + 3.0 * DISPROOF + 0.01)

    assert turn is not None
    assert turn.waiting_since == pytest.approx(0.1)


def test_one_who_leaves_before_older_ones_shows_nothing() -> None:
    line = line_of(*(Original(0.1 * k, 0.1 * k + 10.0) for k in range(3)))
    oldest = line[0]

    line.desert(line[1], 0.2)

    assert line.turn(5.0) is oldest


class Queueing(RuleBasedStateMachine):
    """Originals of different patience join, leave and have their turn in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.line = Line()
        self.there: list[Original] = []

    @rule(count=st.sampled_from([1, 5, 50]), patience=st.sampled_from([0.1, 1.0, 10.0]))
    def some_join(self, count: int, patience: float) -> None:
        for _ in range(count):
            waiter = Original(self.now, self.now + patience)
            self.line.join(waiter, self.now)
            self.there.append(waiter)

    @precondition(lambda self: self.there)
    @rule(which=st.sampled_from([0, -1, 3]), impatient=st.booleans())
    def one_leaves(self, which: int, impatient: bool) -> None:
        waiter = self.there.pop(which % len(self.there) if which > 0 else which)
        if impatient:
            self.line.desert(waiter, self.now)
        else:
            self.line.leave(waiter)

    @rule(count=st.sampled_from([1, 5, 50]))
    def some_have_their_turn(self, count: int) -> None:
        for _ in range(count):
            worth = [w for w in self.there if w.deadline - self.now > LAST * (w.deadline - w.waiting_since)]

            turn = self.line.turn(self.now)

            assert (turn in worth) if worth else turn is None
            self.there = [waiter for waiter in self.line if isinstance(waiter, Original)]

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.1, STALL, 1.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def nobody_is_lost_and_the_late_are_at_the_front(self) -> None:
        assert list(self.line) == self.there
        assert 0 <= self.line._late <= len(self.line)


Queueing.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, derandomize=True)
test_whoever_can_be_saved_has_a_turn_in_the_end = Queueing.TestCase
