from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.engine.concurrency import (
    FALL_FACTOR,
    FALL_INTERVAL_SECONDS,
    JITTER_SECONDS,
    OUTAGE_SECONDS,
    RECLAIM_INTERVAL_SECONDS,
    SLOW_FACTOR,
    ConcurrencyLimit,
)
from sidecar.engine.policy import ConcurrencyPolicy, LimitKind

FIXED = ConcurrencyPolicy(LimitKind.FIXED, min_in_flight=1, max_in_flight=2)


@dataclass(eq=False)
class Original:
    waiting_since: float
    deadline: float


def adaptive(policy: ConcurrencyPolicy | None = None) -> ConcurrencyLimit:
    return ConcurrencyLimit(policy or ConcurrencyPolicy(), 0.0)


def serve(limit: ConcurrencyLimit, seconds: float, now: float) -> None:
    limit.in_flight += 1
    limit.answered(seconds, now)


def steady(seconds: float = 0.01, until: float = 6.0) -> ConcurrencyLimit:
    """A limit that has seen one whole period of answers that took `seconds`."""
    limit = adaptive()
    for k in range(int(until / 0.05) + 1):
        serve(limit, seconds, k * 0.05)
    return limit


def has_room(limit: ConcurrencyLimit) -> bool:
    return limit.in_flight < int(limit.limit)


def test_the_limit_begins_where_the_policy_says() -> None:
    assert adaptive().limit == 20


def test_a_failure_lowers_the_limit() -> None:
    limit = adaptive()
    limit.in_flight = 1

    limit.failed(0.0)

    assert limit.limit == 20 * FALL_FACTOR
    assert limit.in_flight == 0


def test_a_burst_of_failures_is_one_piece_of_news() -> None:
    limit = adaptive()

    for _ in range(100):
        limit.fall(0.0)
    limit.fall(FALL_INTERVAL_SECONDS - 0.001)

    assert limit.limit == 20 * FALL_FACTOR


def test_bad_news_among_good_news_lowers_nothing() -> None:
    limit = adaptive()

    for k in range(100):
        serve(limit, 0.01, k * FALL_INTERVAL_SECONDS)
        limit.in_flight += 1
        limit.failed((k + 0.9) * FALL_INTERVAL_SECONDS)

    assert limit.limit == 20


@pytest.mark.parametrize(("hang", "limit_after"), [(OUTAGE_SECONDS - 0.01, 50.0), (30.0, 4.0)])
def test_only_a_long_hang_lowers_it_under_what_is_usually_in_flight(hang: float, limit_after: float) -> None:
    limit = adaptive()
    limit.limit = 100.0
    for k in range(410):  # 50 in flight: a hundred a second, half a second each
        serve(limit, 0.5, k * 0.01)

    for k in range(int(hang / 0.01)):
        limit.fall(4.09 + k * 0.01)

    assert limit.limit == pytest.approx(limit_after, rel=0.02)


def test_a_hang_does_not_hide_what_is_usually_in_flight() -> None:
    limit = adaptive()
    limit.limit = 100.0
    for k in range(520):  # 50 in flight, then 60, then 55 in a piece of a period that the hang makes longer
        serve(limit, 0.5 if k <= 200 else 0.6 if k <= 400 else 0.55, k * 0.01)
    for k in range(20):
        serve(limit, 0.55, 12.0 + k * 0.01)

    for k in range(290):
        limit.fall(12.2 + k * 0.01)

    assert limit.limit == pytest.approx(50.0, rel=0.02)


def test_an_answer_makes_a_place_for_one_that_waits() -> None:
    limit = steady(0.01)
    limit.in_flight = 20
    limit.enqueue(Original(6.0, 9.0), 6.0)

    limit.answered(0.01, 6.01)

    assert limit.limit == 21


def test_places_are_made_by_leaps_while_nothing_is_known() -> None:
    limit = adaptive()
    limit.in_flight = 20
    limit.enqueue(Original(0.0, 3.0), 0.0)

    limit.answered(0.01, 0.01)

    assert limit.limit == 24


def test_after_a_fall_places_are_made_quickly_only_up_to_what_is_known_to_be_good() -> None:
    limit = adaptive()
    for k in range(410):  # 10 in flight
        serve(limit, 0.1, k * 0.01)
    limit.limit = 10.0
    limit.fall(4.3)
    limit.enqueue(Original(4.3, 9.0), 4.3)

    for _ in range(100):
        limit.in_flight = int(limit.limit)
        limit.answered(0.1, 4.4)

    assert 20 < limit.limit < 26


def test_news_that_keeps_coming_lowers_it_to_its_floor_and_no_further() -> None:
    limit = adaptive()

    for k in range(100):
        limit.fall(k * FALL_INTERVAL_SECONDS * 1.01)

    assert limit.limit == 4


def test_good_answers_raise_it_while_half_of_it_is_in_use() -> None:
    limit = adaptive()
    limit.in_flight = 10

    limit.answered(0.01, 0.0)

    assert limit.limit == 20 + 1 / 20


def test_good_answers_do_not_raise_it_while_it_is_idle() -> None:
    limit = adaptive()
    limit.in_flight = 9

    limit.answered(0.01, 0.0)

    assert limit.limit == 20


def test_it_admits_no_more_than_its_maximum_however_good_the_answers() -> None:
    limit = adaptive(ConcurrencyPolicy(max_in_flight=24))

    for _ in range(1000):
        limit.in_flight = 24
        limit.answered(0.01, 0.0)

    assert int(limit.limit) == 24


def test_answers_far_over_the_usual_lower_it() -> None:
    limit = steady(0.01)
    before = limit.limit

    for k in range(30):
        serve(limit, 0.2, 6.1 + k * 0.01)

    assert limit.limit == before * FALL_FACTOR * FALL_FACTOR


def test_slowness_lowers_it_only_if_nothing_good_came_in_between() -> None:
    limit = steady(0.01)

    for k in range(300):
        serve(limit, 0.01 if k % 9 == 0 else 0.2, 6.1 + k * 0.02)

    assert limit.limit == 20


def test_slowness_alone_lowers_it_no_further_than_what_is_usually_in_flight() -> None:
    limit = adaptive()
    limit.limit = 100.0
    for k in range(410):  # 50 in flight
        serve(limit, 0.5, k * 0.01)

    for k in range(150):
        serve(limit, 3.0, 4.2 + k * 0.01)

    assert limit.limit == pytest.approx(50.0, rel=0.02)


def test_one_dear_answer_among_cheap_ones_lowers_nothing() -> None:
    limit = steady(0.01)

    serve(limit, 0.2, 6.1)

    assert limit.limit == 20


def test_a_cheap_answer_after_dear_ones_lowers_nothing() -> None:
    limit = steady(0.01)
    for k in range(30):
        serve(limit, 0.2, 6.1 + k * 0.01)
    after_the_fall = limit.limit

    serve(limit, 0.01, 7.0)

    assert limit.limit == after_the_fall


def test_answers_just_under_the_bar_are_as_usual() -> None:
    limit = steady(0.01)

    for k in range(100):
        serve(limit, SLOW_FACTOR * 0.01 + JITTER_SECONDS - 0.001, 6.1 + k * 0.01)

    assert limit.limit == 20


def test_nothing_is_slow_before_the_usual_is_known() -> None:
    limit = adaptive()

    serve(limit, 0.001, 0.0)
    for k in range(30):
        serve(limit, 1.0, 0.1 * k)

    assert limit.limit == 20


@pytest.mark.parametrize(("answers", "lowered"), [(9, False), (10, True)])
def test_a_period_with_few_answers_says_nothing_about_the_usual(answers: int, lowered: bool) -> None:
    limit = adaptive()
    for k in range(answers - 1):
        serve(limit, 0.001, k * 0.01)
    serve(limit, 0.001, 2.0)

    for k in range(30):
        serve(limit, 1.0, 2.1 + k * 0.01)

    assert (limit.limit < 20) == lowered


def test_what_was_usual_long_ago_is_forgotten() -> None:
    limit = steady(0.001, until=6.0)

    for k in range(600):  # thirty seconds: more than all periods that are kept
        serve(limit, 0.1, 6.0 + k * 0.05)
    settled = limit.limit
    for k in range(100):
        serve(limit, 0.1, 36.0 + k * 0.05)

    assert limit.limit >= settled


def test_a_healthy_destination_is_never_held_back() -> None:
    limit = adaptive()
    serve(limit, 0.01, 1.0)
    limit.in_flight = 20

    stretched = limit.grow_if_healthy(1.01)

    assert stretched
    assert limit.limit > limit.in_flight


@pytest.mark.parametrize("reason", ["no answer yet", "no answer lately", "bad news lately", "at the maximum", "fixed"])
def test_the_limit_is_not_stretched_without_good_reason(reason: str) -> None:
    limit = ConcurrencyLimit(FIXED, 0.0) if reason == "fixed" else adaptive()
    if reason == "bad news lately":
        limit.fall(0.5)
    if reason != "no answer yet":
        serve(limit, 0.01, 1.0)
    limit.in_flight = 1024 if reason == "at the maximum" else 20
    limit_before = limit.limit

    stretched = limit.grow_if_healthy(1.5 if reason == "no answer lately" else 1.01)

    assert not stretched
    assert limit.limit == limit_before


def test_a_steady_load_without_failures_is_never_refused() -> None:
    limit = adaptive()
    refused = 0

    ends: list[float] = []
    for k in range(10_000):  # 500 a second, 0.1 s each: 50 in flight
        now = k * 0.002
        while ends and ends[0] <= now:
            limit.answered(0.1, ends.pop(0))
        if k < 20 or has_room(limit) or limit.grow_if_healthy(now):
            limit.in_flight += 1
            ends.append(now + 0.1)
        else:
            refused += k > 500

    assert refused == 0


def test_a_fixed_limit_stays_whatever_happens() -> None:
    limit = ConcurrencyLimit(FIXED, 0.0)

    limit.fall(0.0)
    serve(limit, 0.01, 1.0)
    serve(limit, 9.0, 2.0)

    assert limit.limit == 2
    assert limit.in_flight == 0


@pytest.mark.parametrize(("initial", "limit"), [(50, 50), (1, 4), (5000, 1024)])
def test_a_fixed_limit_is_the_initial_one_inside_its_bounds(initial: int, limit: int) -> None:
    fixed = ConcurrencyLimit(ConcurrencyPolicy(LimitKind.FIXED, initial), 0.0)

    assert fixed.limit == limit


def test_another_policy_keeps_the_limit_inside_its_bounds() -> None:
    limit = adaptive()
    limits = []

    for policy in (
        ConcurrencyPolicy(max_in_flight=8),
        ConcurrencyPolicy(min_in_flight=12),
        FIXED,
        ConcurrencyPolicy(min_in_flight=1),
    ):
        limit.adopt(policy, 0.0)
        limits.append(limit.limit)

    assert limits == [8, 12, 2, 2]


def test_the_queue_is_bounded() -> None:
    limit = adaptive(ConcurrencyPolicy(max_waiting=2))

    taken = [limit.enqueue(Original(0.0, 1.0), 0.0) for _ in range(3)]

    assert taken == [True, True, False]
    assert len(limit.waiting) == 2


def orphaned(seconds: float = 3.0, count: int = 20) -> ConcurrencyLimit:
    """A limit of 20 after answers in 10 ms, and so many callers who left at second ten after waiting so long."""
    limit = steady(0.01)
    limit.limit = 20.0
    limit.in_flight = count
    for _ in range(count):
        limit.orphan(seconds, 2.0, 10.0)
    return limit


def test_the_place_of_a_caller_who_left_a_slow_attempt_stays_taken() -> None:
    limit = orphaned()

    assert limit.crowded(10.0)
    assert limit.in_flight == 20
    assert limit.awaited == 0


def test_the_place_of_a_caller_who_left_early_is_free_at_once() -> None:
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


def test_a_good_answer_frees_all_places_that_were_left_before_it() -> None:
    limit = orphaned()
    limit.in_flight += 1
    serve(limit, 0.01, 10.01)
    limit.orphan(3.0, 2.0, 10.02)

    limit.reclaim(10.03)

    assert limit.in_flight == limit.orphaned == 1


def test_without_a_good_answer_they_come_back_one_by_one() -> None:
    limit = orphaned(seconds=30.0)
    free = []

    for k in range(4):
        for ahead in (0.001, 0.002):
            limit.reclaim(10.0 + k * (RECLAIM_INTERVAL_SECONDS + 0.001) + ahead)
            free.append(20 - limit.in_flight)

    assert free == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_place_is_held_for_as_long_again_as_it_was_taken_and_no_longer() -> None:
    limit = orphaned(seconds=0.5, count=1000)

    limit.reclaim(10.499)
    before = limit.in_flight
    limit.reclaim(10.5)

    assert before == 999
    assert limit.in_flight == 0


def test_when_the_next_place_is_given_back_can_be_foretold() -> None:
    soon, sooner = orphaned(seconds=3.0), orphaned(seconds=0.049)

    assert soon.reclaims_at == 10.0 + RECLAIM_INTERVAL_SECONDS
    assert sooner.reclaims_at == 10.049
    assert adaptive().reclaims_at == float("inf")


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
            if not self.limit.crowded(self.now) or self.limit.grow_if_healthy(self.now):
                assert has_room(self.limit)
                self.limit.in_flight += 1
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
                assert self.limit.limit <= before
            case "orphaned":
                self.limit.orphan(self.now - began, 0.5, self.now)
                assert self.limit.limit == before
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
            assert self.policy.min_in_flight <= int(self.limit.limit) <= self.policy.max_in_flight

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
