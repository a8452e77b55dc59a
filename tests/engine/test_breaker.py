import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.engine.breaker import JOURNAL_LENGTH, Breaker, BreakerState
from sidecar.engine.policy import BreakerPolicy
from tests.fakes.dice import ScriptedDice, SeededDice

CLOSED, OPEN, HALF_OPEN, RECOVERING = BreakerState
POLICY = BreakerPolicy(consecutive_failures=3, open=1.0, max_open=4.0, ramp=2.0)


def middle() -> float:
    return 0.5


def closed(policy: BreakerPolicy = POLICY) -> Breaker:
    return Breaker(policy, middle, 0.0)


def tripped(policy: BreakerPolicy = POLICY, now: float = 0.0) -> Breaker:
    breaker = closed(policy)
    for _ in range(policy.consecutive_failures):
        breaker.failure(breaker.generation, now)
    return breaker


def half_open(policy: BreakerPolicy = POLICY) -> Breaker:
    breaker = tripped(policy)
    assert breaker.admit(1.0)
    return breaker


def recovering(policy: BreakerPolicy = POLICY) -> Breaker:
    breaker = half_open(policy)
    breaker.success(breaker.generation, 1.0)
    return breaker


def test_a_closed_breaker_admits_everything() -> None:
    breaker = closed()

    assert all(breaker.admit(0.0) for _ in range(1000))
    assert breaker.state(0.0) is CLOSED


def test_failures_in_a_row_trip_it_at_low_traffic() -> None:
    breaker = closed()

    states = []
    for _ in range(3):
        breaker.failure(0, 0.0)
        states.append(breaker.state(0.0))

    assert states == [CLOSED, CLOSED, OPEN]


def test_a_success_ends_the_row() -> None:
    breaker = closed()
    breaker.failure(0, 0.0)
    breaker.failure(0, 0.0)

    breaker.success(0, 0.0)
    breaker.failure(0, 0.0)
    breaker.failure(0, 0.0)

    assert breaker.state(0.0) is CLOSED


def test_the_share_of_failures_trips_it_once_enough_was_tried() -> None:
    breaker = closed(BreakerPolicy(failure_ratio=0.5, min_requests=20, consecutive_failures=100))

    states = []
    for _ in range(10):
        breaker.success(0, 0.0)
        breaker.failure(0, 0.0)
        states.append(breaker.state(0.0))

    assert states == [CLOSED] * 9 + [OPEN]


def test_failures_older_than_the_window_do_not_count() -> None:
    breaker = closed(BreakerPolicy(window=10.0, min_requests=20, consecutive_failures=100))
    for _ in range(19):
        breaker.failure(0, 0.0)

    breaker.failure(0, 10.0)

    assert breaker.state(10.0) is CLOSED


def test_slowness_and_throttling_trip_nothing_while_it_is_closed() -> None:
    breaker = closed()

    for _ in range(100):
        breaker.inconclusive(0, 0.0)

    assert breaker.state(0.0) is CLOSED


def test_an_open_breaker_refuses_until_its_time_is_over() -> None:
    breaker = tripped()

    refused = [breaker.admit(now) for now in (0.0, 0.5, 0.999)]

    assert refused == [False, False, False]
    assert breaker.refuses(0.999)
    assert not breaker.refuses(1.0)
    assert breaker.retry_after(0.25) == 0.75


@pytest.mark.parametrize(("roll", "seconds"), [(0.0, 0.8), (0.5, 1.0), (0.75, 1.1)])
def test_pods_do_not_probe_together(roll: float, seconds: float) -> None:
    breaker = Breaker(POLICY, ScriptedDice(roll), 0.0)

    for _ in range(3):
        breaker.failure(0, 0.0)

    assert breaker.retry_after(0.0) == pytest.approx(seconds)


def test_it_stays_open_longer_with_every_trip_up_to_its_maximum() -> None:
    breaker = tripped()
    waits = [breaker.retry_after(0.0)]

    now = 0.0
    for _ in range(4):
        now += waits[-1]
        assert breaker.admit(now)
        breaker.failure(breaker.generation, now)
        waits.append(breaker.retry_after(now))

    assert waits == [1.0, 2.0, 4.0, 4.0, 4.0]


def test_half_open_admits_the_probes_and_no_more() -> None:
    breaker = tripped(BreakerPolicy(consecutive_failures=3, open=1.0, max_open=1.0, probes=2))

    admitted = [breaker.admit(1.0) for _ in range(4)]

    assert admitted == [True, True, False, False]
    assert breaker.refuses(1.0)


def test_asking_whether_it_refuses_takes_no_probe() -> None:
    breaker = tripped()

    for _ in range(5):
        breaker.refuses(1.0)

    assert breaker.admit(1.0)


@pytest.mark.parametrize("ending", ["failure", "inconclusive"])
def test_a_probe_that_proves_nothing_opens_it_again(ending: str) -> None:
    breaker = half_open()

    getattr(breaker, ending)(breaker.generation, 1.0)

    assert breaker.state(1.0) is OPEN
    assert breaker.retry_after(1.0) == 2.0


def test_a_probe_that_succeeds_begins_the_ramp() -> None:
    breaker = recovering()

    assert breaker.state(1.0) is RECOVERING
    assert breaker.retry_after(1.0) == 0.0


def test_without_a_ramp_a_good_probe_closes_it() -> None:
    breaker = recovering(BreakerPolicy(consecutive_failures=3, open=1.0, max_open=1.0, ramp=0.0))

    assert breaker.state(1.0) is CLOSED


@pytest.mark.parametrize(("now", "share"), [(1.0, 0.1), (2.0, 0.55), (2.999, 1.0)])
def test_the_ramp_grows_from_a_tenth_to_everything(now: float, share: float) -> None:
    breaker = recovering()

    assert breaker.share(now) == pytest.approx(share, abs=0.001)
    assert breaker.admit(now)


def test_outside_the_ramp_all_places_may_be_used() -> None:
    shares = [breaker.share(1.0) for breaker in (closed(), tripped(), half_open())]

    assert shares == [1.0, 1.0, 1.0]
    assert recovering().share(3.0) == 1.0


@pytest.mark.parametrize(("since", "until"), [(0.5, 1.0), (0.41, 1.0), (0.4, None), (0.0, None)])
def test_an_open_breaker_holds_whoever_can_wait_for_its_next_probe(since: float, until: float | None) -> None:
    breaker = tripped()  # until 1.0; held are 0.6 s

    assert breaker.held_until(since, 0.5) == until


@pytest.mark.parametrize(("since", "until"), [(0.9, 1.5), (0.41, 1.01), (0.4, None)])
def test_a_probe_under_way_is_waited_for_to_the_end_of_that_time(since: float, until: float | None) -> None:
    breaker = half_open()

    held = breaker.held_until(since, 1.0)

    assert held == (None if until is None else pytest.approx(until))


def test_without_hold_nobody_is_held() -> None:
    policy = BreakerPolicy(consecutive_failures=3, open=0.25, hold=0.0)

    assert tripped(policy).held_until(0.0, 0.0) is None
    assert tripped(policy).held_until(0.25, 0.25) is None


def test_the_end_of_the_ramp_closes_it_and_forgets_its_trips() -> None:
    breaker = recovering()

    assert breaker.state(3.0) is CLOSED
    for _ in range(3):
        breaker.failure(breaker.generation, 3.0)
    assert breaker.retry_after(3.0) == 1.0


def test_a_failing_ramp_opens_it_for_longer() -> None:
    breaker = recovering()

    for _ in range(3):
        breaker.failure(breaker.generation, 1.5)

    assert breaker.retry_after(1.5) == 2.0


@pytest.mark.parametrize("ending", ["success", "failure", "inconclusive"])
def test_a_result_from_before_the_trip_is_ignored(ending: str) -> None:
    breaker = half_open()
    long_ago = 0

    getattr(breaker, ending)(long_ago, 1.0)

    assert breaker.state(1.0) is HALF_OPEN


def test_every_entry_to_a_state_is_counted() -> None:
    breaker = recovering()
    breaker.state(3.0)

    assert breaker.transitions == {CLOSED: 1, OPEN: 1, HALF_OPEN: 1, RECOVERING: 1}


def test_the_journal_has_the_transitions_in_their_order_with_their_instants() -> None:
    breaker = recovering()
    breaker.state(3.0)

    instants = [at for at, _ in breaker.journal]

    assert [state for _, state in breaker.journal] == [OPEN, HALF_OPEN, RECOVERING, CLOSED]
    assert instants == sorted(instants)
    assert instants[-1] == 3.0


def test_the_journal_is_bounded() -> None:
    breaker = tripped()
    for second in range(1, JOURNAL_LENGTH + 10):
        assert breaker.admit(float(second * 10))
        breaker.failure(breaker.generation, float(second * 10))

    assert len(breaker.journal) == JOURNAL_LENGTH
    assert sum(breaker.transitions.values()) > JOURNAL_LENGTH


def test_a_new_policy_keeps_an_open_breaker_open() -> None:
    breaker = tripped()

    breaker.adopt(BreakerPolicy(window=60.0, open=0.01, max_open=0.01), 0.5)

    assert breaker.state(0.5) is OPEN
    assert breaker.refuses(0.999)


def test_a_new_window_keeps_the_failures_counted_so_far() -> None:
    breaker = closed(BreakerPolicy(window=10.0, min_requests=20, consecutive_failures=100))
    for _ in range(19):
        breaker.failure(0, 0.0)

    breaker.adopt(BreakerPolicy(window=60.0, min_requests=20, consecutive_failures=100), 0.5)
    breaker.failure(0, 0.5)

    assert breaker.state(0.5) is OPEN


class Flapping(RuleBasedStateMachine):
    """A destination that changes its mind at the worst instants, and callers that ask all the time."""

    @initialize(
        probes=st.sampled_from([1, 2, 5]),
        ramp=st.sampled_from([0.0, 0.5]),
        consecutive=st.sampled_from([1, 3, 10]),
        minimum=st.sampled_from([1, 20]),
        seed=st.integers(0, 50),
    )
    def begin(self, probes: int, ramp: float, consecutive: int, minimum: int, seed: int) -> None:
        self.policy = BreakerPolicy(
            probes=probes, ramp=ramp, consecutive_failures=consecutive, min_requests=minimum, window=1.0
        )
        self.now = 100.0
        self.breaker = Breaker(self.policy, SeededDice(seed), self.now)
        self.flying: list[int] = []

    @rule(asked=st.sampled_from([1, 3, 30]))
    def callers_ask(self, asked: int) -> None:
        for _ in range(asked):
            refuses = self.breaker.refuses(self.now)
            closed = self.breaker.state(self.now) is CLOSED

            admitted = self.breaker.admit(self.now)

            assert not (refuses and admitted)
            assert admitted or not closed
            assert 0.1 <= self.breaker.share(self.now) <= 1.0
            assert self.breaker.state(self.now) is not OPEN or not admitted
            if admitted:
                self.flying.append(self.breaker.generation)

    @precondition(lambda self: self.flying)
    @rule(which=st.sampled_from([0, -1]), ending=st.sampled_from(["success", "failure", "inconclusive"]))
    def one_attempt_ends(self, which: int, ending: str) -> None:
        generation = self.flying.pop(which)
        before = self.breaker.state(self.now)
        current = generation == self.breaker.generation

        getattr(self.breaker, ending)(generation, self.now)

        after = self.breaker.state(self.now)
        if not current:
            assert after is before
        elif before is HALF_OPEN:
            assert (after is OPEN) == (ending != "success")

    @rule(ending=st.sampled_from(["success", "failure", "inconclusive"]))
    def all_attempts_end(self, ending: str) -> None:
        while self.flying:
            getattr(self.breaker, ending)(self.flying.pop(), self.now)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.1, 0.5, 1.2]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def time_passes_until_a_probe_is_due(self) -> None:
        self.now += self.breaker.retry_after(self.now)

    @invariant()
    def half_open_has_at_least_one_probe_in_flight_and_at_most_probes(self) -> None:
        if self.breaker.state(self.now) is HALF_OPEN:
            assert 1 <= self.flying.count(self.breaker.generation) <= self.policy.probes

    @invariant()
    def it_is_never_open_for_longer_than_a_fifth_over_the_maximum(self) -> None:
        assert self.breaker.retry_after(self.now) <= 1.2 * self.policy.max_open

    def teardown(self) -> None:
        if not hasattr(self, "breaker"):
            return
        self.all_attempts_end("inconclusive")
        for _ in range(50):  # from here on the destination is well
            self.now += max(0.05, self.breaker.retry_after(self.now))
            if self.breaker.admit(self.now):
                self.breaker.success(self.breaker.generation, self.now)
        assert self.breaker.state(self.now) is CLOSED


Flapping.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, derandomize=True)
test_no_pattern_of_failures_takes_a_probe_too_many_or_keeps_one = Flapping.TestCase
