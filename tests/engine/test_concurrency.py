"""The states of the in-flight limit, one by one; its laws over whole loads: test_recovery.py, test_harmless.py."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.engine.concurrency import (
    FAILURES_IN_A_ROW,
    FALL_FACTOR,
    FALL_INTERVAL_SECONDS,
    FEW_WAITERS,
    HELD,
    HOLD_FACTOR,
    OPEN,
    OUTAGE_SECONDS,
    PACE,
    PACE_AFTER_BRIEF_FAILURES,
    PACE_BURST_SECONDS,
    REOPEN_SECONDS,
    RESUME_GROWTH,
    RESUMING,
    STALLED,
    WATCH,
    ConcurrencyLimit,
    LimitState,
)
from sidecar.engine.latency import SILENCE_SECONDS, SLOW_FACTOR
from sidecar.engine.policy import ConcurrencyPolicy, LimitKind
from sidecar.engine.trial import RUN_SAMPLES

FIXED = ConcurrencyPolicy(LimitKind.FIXED, min_in_flight=1, max_in_flight=2)
MOST = ConcurrencyPolicy().max_in_flight


@dataclass(eq=False)
class Original:
    waiting_since: float
    deadline: float
    wake_at: float = 0.0


def adaptive(policy: ConcurrencyPolicy | None = None, timeout: float = 1.0) -> ConcurrencyLimit:
    """`timeout`: short, so that nothing is harmless only because callers wait for long."""
    return ConcurrencyLimit(policy or ConcurrencyPolicy(), 0.0, timeout=timeout)


def send(limit: ConcurrencyLimit, now: float, count: int = 1) -> None:
    for _ in range(count):
        limit.in_flight += 1
        if limit.stalls_at == float("inf"):
            limit.stalls_at = now + limit.silence


def serve(limit: ConcurrencyLimit, seconds: float, now: float) -> None:
    send(limit, now - seconds)
    limit.answered(seconds, now)


def steady(seconds: float = 0.01, until: float = 6.0, timeout: float = 1.0) -> ConcurrencyLimit:
    """A limit that has seen a few periods of 20 answers a second that took `seconds`."""
    limit = adaptive(timeout=timeout)
    for k in range(int(until / 0.05) + 1):
        serve(limit, seconds, k * 0.05)
    return limit


def stalled(in_flight: int = 30, waiting: int = 10) -> ConcurrencyLimit:
    """Since second six there was no answer; at 6.3 an original wanted to leave, and others wait."""
    limit = steady()
    send(limit, 6.0, in_flight)
    limit.stall(6.3)
    for _ in range(waiting):
        limit.enqueue(Original(6.3, 9.0), 6.3)
    return limit


def overloaded(limit: ConcurrencyLimit, began: float = 6.0) -> float:
    """Answers that get slower and slower, as behind a queue; returns the instant."""
    now = began
    send(limit, now, 100)
    for k in range(1, 100):
        now = began + k * 0.02
        limit.in_flight += 1
        limit.answered(0.02 * k, now)
        if limit.state is HELD:
            break
    return now


# Open


def test_no_limit_is_in_force_at_first() -> None:
    assert (adaptive().state, adaptive().limit) == (OPEN, MOST)


@pytest.mark.parametrize("in_flight", [1, 100, MOST - 1])
def test_while_it_is_open_nothing_waits(in_flight: int) -> None:
    limit = adaptive()
    limit.in_flight = in_flight

    assert not limit.crowded(0.0)


def test_nothing_is_slow_before_the_usual_is_known() -> None:
    limit = adaptive()

    for k in range(19):
        serve(limit, 1.0, 0.1 * k)

    assert limit.state is OPEN


def test_dear_answers_among_cheap_ones_change_nothing() -> None:
    limit = steady()

    for k in range(300):
        serve(limit, 0.01 if k % 9 == 0 else 0.5, 6.1 + k * 0.02)

    assert limit.state is OPEN


# Stalled


def test_a_silence_is_a_stall_once_an_original_wants_to_leave() -> None:
    limit = stalled()

    assert limit.state is STALLED
    assert limit.limit == 30
    assert limit.crowded(6.3)


def test_the_silence_begins_with_the_first_attempt_after_the_last_answer() -> None:
    limit = steady()

    idle = limit.stalls_at
    send(limit, 100.0)

    assert idle == float("inf")
    assert limit.stalls_at == 100.0 + SILENCE_SECONDS


def test_where_callers_wait_for_long_a_silence_may_be_long() -> None:
    patient, impatient = steady(timeout=60.0), steady(timeout=10.0)

    assert impatient.silence == SILENCE_SECONDS
    assert patient.silence > 5.0


def test_a_caller_that_leaves_shows_how_long_callers_wait() -> None:
    limit = steady(timeout=60.0)
    send(limit, 6.0)
    before = limit.stalls_at

    limit.deserted(3.0, 9.0)

    assert before > 9.0
    assert limit.stalls_at < 9.0


def test_a_caller_that_leaves_at_once_shows_nothing() -> None:
    limit = steady(timeout=60.0)
    before = limit.silence

    limit.deserted(SILENCE_SECONDS - 0.01, 6.0)

    assert limit.silence == before


def test_an_answer_that_was_waited_for_longer_disproves_it() -> None:
    limit = steady(timeout=60.0)
    limit.deserted(3.0, 6.0)

    serve(limit, 3.5, 10.0)
    serve(limit, 0.01, 12.1)

    assert limit.silence > 5.0


def test_a_stall_is_probed_now_and_then() -> None:
    limit = stalled()
    probes = []

    for tick in range(300):
        now = 6.3 + tick * 0.01
        if not limit.crowded(now):
            send(limit, now)
            probes.append(now)

    assert 3 <= len(probes) <= 4  # a quarter, three quarters, one and three quarters of a second later


def test_a_stall_that_held_nobody_back_was_none() -> None:
    limit = stalled(waiting=0)

    limit.answered(0.4, 6.4)

    assert limit.state is OPEN


# Resuming


def test_the_first_answer_after_a_stall_resumes_step_by_step() -> None:
    limit = stalled()

    limit.answered(0.5, 6.5)

    assert limit.state is RESUMING
    assert limit.limit == 30 + RESUME_GROWTH


def test_waiters_are_released_at_the_pace_of_what_used_to_come() -> None:
    limit = stalled(waiting=0)
    for k in range(1000):
        limit.enqueue(Original(6.3, 9.0), 2.0 + k * 0.001)
    limit.answered(0.5, 6.5)
    limit.limit = 1000.0
    released = 0

    for tick in range(1000):
        now = 6.5 + tick * 0.001
        while not limit.paced(now):
            limit.released_waiter(now)
            released += 1

    assert released == pytest.approx(PACE * 20 + PACE * 20 * PACE_BURST_SECONDS, abs=2)  # 20 a second, before


def test_a_few_waiters_are_released_at_once() -> None:
    limit = stalled(waiting=FEW_WAITERS)

    limit.answered(0.5, 6.5)

    assert not limit.paced(6.5)
    assert limit.limit == 30 + FEW_WAITERS + RESUME_GROWTH


@pytest.mark.parametrize(("seconds", "pace"), [(0.5, PACE_AFTER_BRIEF_FAILURES), (OUTAGE_SECONDS, PACE)])
def test_after_a_long_outage_waiters_are_released_more_slowly_than_after_a_short_one(
    seconds: float, pace: float
) -> None:
    limit = steady()
    for k in range(FAILURES_IN_A_ROW):
        send(limit, 6.0)
        limit.failed(6.0 + seconds + 0.01 * k)
    limit.limit = 1000.0
    now = 6.1 + seconds

    released = 0
    for tick in range(1000):
        while not limit.paced(now + tick * 0.001):
            limit.released_waiter(now + tick * 0.001)
            released += 1

    assert released == pytest.approx(pace * 20, abs=2)


def test_what_was_slow_and_no_stall_is_open_again_when_nobody_waits() -> None:
    limit = stalled(in_flight=30, waiting=1)
    now = 6.5
    for _ in range(30):
        limit.answered(0.5, now)
    limit.waiting.clear()
    for k in range(60):
        now = 7.0 + k * 0.05
        serve(limit, 0.5, now)

    assert limit.state is OPEN
    assert not limit.waiting


# Watch


def test_slowness_for_good_is_watched_and_then_usual() -> None:
    limit = steady(timeout=1.0)
    states = []

    for k in range(120):
        serve(limit, 0.2, 6.2 + k * 0.05)
        states.append(limit.state)

    assert WATCH in states
    assert states[-1] is OPEN
    assert HELD not in states


def test_a_watch_ends_though_others_wait() -> None:
    limit = steady(timeout=1.0)
    states = []

    for k in range(120):
        serve(limit, 0.2, 6.2 + k * 0.05)
        if limit.state is WATCH and not limit.waiting:
            limit.enqueue(Original(6.2, 1000.0), 6.2 + k * 0.05)
        states.append(limit.state)

    assert WATCH in states
    assert states[-1] is OPEN


def test_what_is_watched_may_have_twice_as_much_in_flight_and_then_no_more() -> None:
    limit = steady(timeout=1.0)
    k = 0
    while limit.state is OPEN:
        limit.in_flight = 9
        serve(limit, 0.2, 6.2 + k * 0.05)
        k += 1
    room = int(limit.limit)

    limit.in_flight = room - 1
    before = limit.crowded(7.0)
    limit.in_flight = room

    assert room >= 20
    assert not before
    assert limit.crowded(7.0)
    assert limit.state is HELD


# Held


def test_what_gets_slower_and_slower_is_held() -> None:
    limit = steady()

    overloaded(limit)

    assert limit.state is HELD
    assert limit.limit == pytest.approx(HOLD_FACTOR * (limit.in_flight + 1), rel=0.1)


def test_a_limit_that_makes_nothing_quicker_is_in_vain() -> None:
    limit = steady()
    now = overloaded(limit)
    limit.in_flight = 10
    limit.enqueue(Original(now, now + 100.0), now)

    for k in range(200):
        limit.in_flight = min(limit.in_flight, int(limit.limit) - 1)
        serve(limit, 2.0, now + 3.0 + k * 0.05)
        if limit.state is not HELD:
            break

    assert limit.state is WATCH


def test_a_limit_that_makes_it_quicker_is_kept() -> None:
    limit = steady()
    now = overloaded(limit)
    limit.in_flight = 10
    limit.enqueue(Original(now, now + 100.0), now)

    for k in range(60):
        limit.in_flight = min(limit.in_flight, int(limit.limit) - 1)
        serve(limit, limit.limit / 50.0, now + 3.0 + k * 0.05)

    assert limit.state is HELD


def test_a_limit_that_holds_nobody_back_is_lifted() -> None:
    limit = steady()
    now = overloaded(limit)

    serve(limit, 0.02, now + REOPEN_SECONDS + 0.1)

    assert limit.state is OPEN


def failures(limit: ConcurrencyLimit, count: int, now: float) -> None:
    for _ in range(count):
        send(limit, now)
        limit.failed(now)


def test_failures_in_a_row_hold() -> None:
    limit = steady()

    failures(limit, FAILURES_IN_A_ROW - 1, 7.0)
    before = limit.state
    failures(limit, 1, 7.0)

    assert before is OPEN
    assert limit.state is HELD


def test_a_burst_of_failures_is_one_piece_of_news() -> None:
    limit = adaptive()

    failures(limit, 100, 1.0)
    failures(limit, 100, 1.0 + FALL_INTERVAL_SECONDS - 0.001)

    assert limit.limit == 20 * FALL_FACTOR


def test_bad_news_among_good_news_changes_nothing() -> None:
    limit = adaptive()

    for k in range(100):
        serve(limit, 0.01, k * FALL_INTERVAL_SECONDS)
        failures(limit, FAILURES_IN_A_ROW - 1, (k + 0.9) * FALL_INTERVAL_SECONDS)

    assert limit.state is OPEN


def test_failures_right_after_a_good_answer_are_no_trouble_yet() -> None:
    limit = steady()
    send(limit, 6.0, FAILURES_IN_A_ROW)

    for _ in range(FAILURES_IN_A_ROW):
        limit.failed(6.0 + FALL_INTERVAL_SECONDS / 2)

    assert limit.state is OPEN


def test_a_good_answer_between_failures_ends_the_row() -> None:
    limit = steady()
    send(limit, 6.0, 2 * FAILURES_IN_A_ROW)

    for _ in range(FAILURES_IN_A_ROW - 1):
        limit.failed(6.2)
    serve(limit, 0.01, 6.3)
    for _ in range(FAILURES_IN_A_ROW - 1):
        limit.failed(6.6)

    assert limit.state is OPEN


@pytest.mark.parametrize(("seconds", "is_low"), [(OUTAGE_SECONDS - 0.5, False), (OUTAGE_SECONDS + 5.0, True)])
def test_a_short_outage_leaves_as_much_as_used_to_be_in_flight(seconds: float, is_low: bool) -> None:
    limit = ConcurrencyLimit(ConcurrencyPolicy(min_in_flight=1), 0.0, timeout=60.0)
    for k in range(600):
        serve(limit, 1.0, k * 0.01)  # 100 a second, 100 in flight
    send(limit, 6.0, 500)

    for k in range(int(seconds / FALL_INTERVAL_SECONDS)):
        limit.failed(6.0 + k * FALL_INTERVAL_SECONDS)

    assert (limit.limit < 50) is is_low


@pytest.mark.parametrize(("answers", "last"), [(RUN_SAMPLES - 1, OPEN), (RUN_SAMPLES, HELD)])
def test_fewer_slow_answers_than_a_run_are_not_judged(answers: int, last: LimitState) -> None:
    limit = steady()
    send(limit, 6.0, 100)

    states = []
    for k in range(1, answers + 1):
        limit.answered(0.2 + 0.02 * k, 6.0 + 0.2 * k)
        states.append(limit.state)

    assert states == [OPEN] * (answers - 1) + [last]


def test_answers_that_come_together_in_the_order_of_their_latency_are_no_queue() -> None:
    limit = steady()
    send(limit, 6.0, 100)

    for k in range(2 * RUN_SAMPLES):
        limit.answered(1.0 + 0.01 * k, 7.0 + 0.01 * k)

    assert limit.state is OPEN


def test_news_that_keeps_coming_lowers_it_to_its_floor_and_no_further() -> None:
    limit = adaptive()

    for k in range(100):
        failures(limit, FAILURES_IN_A_ROW, k * FALL_INTERVAL_SECONDS * 1.01)

    assert limit.limit == 4


def test_after_failures_a_brisk_answer_makes_room_for_those_who_wait() -> None:
    limit = steady()
    failures(limit, FAILURES_IN_A_ROW, 7.0)
    limit.enqueue(Original(7.0, 9.0), 7.0)
    before = limit.limit

    serve(limit, 0.01, 12.1)

    assert limit.limit == before + 1


# Fixed, policies, the queue


def test_a_fixed_limit_stays_whatever_happens() -> None:
    limit = ConcurrencyLimit(FIXED, 0.0)

    failures(limit, 10, 0.0)
    serve(limit, 0.01, 1.0)
    serve(limit, 9.0, 2.0)
    limit.stall(3.0)

    assert limit.limit == 2
    assert limit.in_flight == 0


@pytest.mark.parametrize(("initial", "limit"), [(50, 50), (1, 4), (50_000, MOST)])
def test_a_fixed_limit_is_the_initial_one_inside_its_bounds(initial: int, limit: int) -> None:
    fixed = ConcurrencyLimit(ConcurrencyPolicy(LimitKind.FIXED, initial), 0.0)

    assert fixed.limit == limit


def test_another_policy_keeps_the_limit_inside_its_bounds() -> None:
    limit = adaptive()
    limits = []

    for policy in (ConcurrencyPolicy(max_in_flight=8), FIXED, ConcurrencyPolicy()):
        limit.adopt(policy, 0.0)
        limits.append(limit.limit)

    assert limits == [8, 2, MOST]


def test_the_queue_is_bounded() -> None:
    limit = adaptive(ConcurrencyPolicy(max_waiting=2))

    taken = [limit.enqueue(Original(0.0, 1.0), 0.0) for _ in range(3)]

    assert taken == [True, True, False]
    assert len(limit.waiting) == 2


# Orphaned slots


def orphaned(seconds: float = 3.0, count: int = 20) -> ConcurrencyLimit:
    """A limit of 20 after answers in 10 ms, and so many callers who left at second ten after waiting so long."""
    limit = steady()
    limit.limit = 20.0
    limit.in_flight = count
    for _ in range(count):
        limit.orphan(seconds, 2.0, 10.0)
    return limit


def test_the_slot_of_a_caller_who_left_a_slow_attempt_stays_taken() -> None:
    limit = orphaned()

    assert limit.crowded(10.0)
    assert limit.in_flight == 20
    assert limit.awaited == 0


def test_the_slot_of_a_caller_who_left_early_is_free_at_once() -> None:
    limit = orphaned(seconds=SLOW_FACTOR * 0.01)

    assert limit.in_flight == 0
    assert not limit.crowded(10.0)


def test_while_nothing_is_known_slow_is_what_the_policy_calls_so() -> None:
    limit = adaptive()
    limit.in_flight = 2

    limit.orphan(1.9, 2.0, 10.0)
    limit.orphan(2.1, 2.0, 10.0)

    assert limit.orphaned == 1


def test_a_fixed_limit_counts_only_attempts_that_are_awaited() -> None:
    limit = ConcurrencyLimit(FIXED, 0.0)
    limit.in_flight = 2

    limit.orphan(30.0, 2.0, 30.0)

    assert limit.in_flight == 1


def test_a_good_answer_frees_all_slots_that_were_left_before_it() -> None:
    limit = orphaned()
    limit.in_flight += 1
    serve(limit, 0.01, 10.01)
    limit.orphan(3.0, 2.0, 10.02)

    limit.reclaim(10.03)

    assert limit.in_flight == limit.orphaned == 1


class Swings(RuleBasedStateMachine):
    """A dependency that is fast, hangs, fails, and is fast again, while callers take every place there is."""

    @initialize(
        kind=st.sampled_from(list(LimitKind)),
        bounds=st.sampled_from([(1, 1), (1, 2), (4, 8), (4, 1024)]),
        initial=st.sampled_from([1, 20, 2000]),
    )
    def begin(self, kind: LimitKind, bounds: tuple[int, int], initial: int) -> None:
        self.policy = ConcurrencyPolicy(kind, initial, *bounds, max_waiting=10)
        self.now = 0.0
        self.limit = ConcurrencyLimit(self.policy, self.now)
        self.flying: list[float] = []

    @rule(count=st.sampled_from([1, 5, 50]))
    def callers_come(self, count: int) -> None:
        for _ in range(count):
            if self.now >= self.limit.stalls_at:
                self.limit.stall(self.now)
            if self.now >= self.limit.stalls_at:
                self.limit.stall(self.now)
            if not self.limit.crowded(self.now):
                assert self.limit.in_flight < int(self.limit.limit)
                send(self.limit, self.now)
                self.flying.append(self.now)
                assert len(self.flying) <= self.policy.max_in_flight
            else:
                self.limit.enqueue(Original(self.now, self.now + 1.0), self.now)

    @precondition(lambda self: self.flying)
    @rule(ending=st.sampled_from(["answered", "failed", "released", "orphaned"]), which=st.sampled_from([0, -1]))
    def one_attempt_ends(self, ending: str, which: int) -> None:
        began = self.flying.pop(which)
        before = self.limit.limit
        match ending:
            case "answered":
                self.limit.answered(self.now - began, self.now)
            case "failed":
                self.limit.failed(self.now)
                assert self.limit.limit <= max(before, self.policy.min_in_flight)
            case "orphaned":
                self.limit.orphan(self.now - began, 0.5, self.now)
                assert self.limit.limit <= before
            case _:
                self.limit.released()
                assert self.limit.limit == before

    @rule(ending=st.sampled_from(["answered", "failed", "released", "orphaned"]))
    def all_attempts_end(self, ending: str) -> None:
        while self.flying:
            self.one_attempt_ends(ending, -1)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.0999, 0.1, 0.6, 5.0, 21.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(maximum=st.sampled_from([4, 8, 1024]))
    def the_policy_changes(self, maximum: int) -> None:
        if self.policy.limit is LimitKind.ADAPTIVE and maximum >= len(self.flying):
            self.policy = ConcurrencyPolicy(LimitKind.ADAPTIVE, 20, 1, maximum, max_waiting=10)
            self.limit.adopt(self.policy, self.now)

    @invariant()
    def the_limit_stays_inside_its_bounds(self) -> None:
        if hasattr(self, "limit"):
            assert 1 <= int(self.limit.limit) <= self.policy.max_in_flight
            assert self.limit.state is not OPEN or self.limit.limit >= self.policy.min_in_flight

    @invariant()
    def the_count_in_flight_is_right(self) -> None:
        if hasattr(self, "limit"):
            assert self.limit.awaited == len(self.flying)
            assert 0 <= self.limit.orphaned <= self.policy.max_in_flight
            assert len(self.limit.waiting) <= self.policy.max_waiting

    def teardown(self) -> None:
        if hasattr(self, "limit"):
            self.all_attempts_end("orphaned")
            self.time_passes(100_000.0)
            self.limit.reclaim(self.now)
            assert self.limit.in_flight == 0


Swings.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, derandomize=True)
test_no_swing_takes_the_limit_out_of_its_bounds = Swings.TestCase
