"""Two policies and one exchange: the real one is driven by its test, the shadow is told what was decided."""

import math
import random

import pytest
from msgspec.structs import replace

from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Fault, Result
from sidecar.engine.policy import BackoffPolicy, BudgetPolicy, ConcurrencyPolicy, DestinationPolicy, RetryPolicy
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.shadow import Difference, Shadow, ShadowExchange
from sidecar.engine.verdict import Deliver, Retry, Verdict

POLICY = DestinationPolicy(budget=BudgetPolicy(ratio=0.5, burst=10, min_retries=10))
PATIENT = replace(POLICY, per_attempt_timeout=5.0)


def retrying(**changes: object) -> DestinationPolicy:
    return replace(POLICY, retry=replace(RetryPolicy(), **changes))  # type: ignore[arg-type]


class Pair:
    """A destination, its shadow, and one exchange of both at a time."""

    def __init__(self, candidate: DestinationPolicy, policy: DestinationPolicy = POLICY) -> None:
        self.real = Destination("payments", policy, lambda: 0.0, 0.0)
        self.shadow = Shadow(self.real, candidate, lambda: 0.0, 0.0)

    def begin(self, now: float = 0.0, repeatable_until: float = math.inf) -> None:
        self.exchange = RetryState(self.real, now, repeatable_until)
        self.twin = ShadowExchange(self.shadow, self.exchange, now, repeatable_until)
        self.twin.admitted(now, self.exchange.admit(now))

    def status(self, status: int, now: float = 0.1) -> Verdict:
        verdict = self.exchange.on_status(now, status, None)
        self.twin.answered(now, status, None, verdict)
        return verdict

    def depart(self, now: float = 0.2) -> object:
        decided = self.exchange.depart(now)
        self.twin.departed(now, decided)
        return decided

    def end(self, now: float = 0.3, result: Result = Result.SUCCESS) -> None:
        self.exchange.finish(now, result)
        self.twin.over(now)

    @property
    def found(self) -> dict[str, int]:
        return {difference.value: count for difference, count in self.shadow.differences.items() if count}


def test_a_policy_that_would_try_again_is_seen_where_the_one_in_force_does_not() -> None:
    pair = Pair(retrying(statuses=frozenset({503, 502})))
    pair.begin()

    verdict = pair.status(502)

    assert verdict == Deliver(None)
    assert pair.found == {"retry": 1}


def test_a_policy_that_would_not_try_again_is_seen_where_the_one_in_force_does() -> None:
    pair = Pair(retrying(max_attempts=1))
    pair.begin()

    verdict = pair.status(503)

    assert isinstance(verdict, Retry)
    assert pair.found == {"no_retry": 1}


def test_the_same_refusal_is_no_difference_and_another_one_is() -> None:
    same = Pair(POLICY, POLICY)
    other = Pair(retrying(max_attempts=1))
    for pair in (same, other):
        pair.begin(repeatable_until=-math.inf)
        pair.status(503)
    last = Pair(retrying(max_attempts=1), retrying(max_attempts=2))
    last.real.draining = True
    last.begin()
    last.status(503)

    assert same.found == other.found == {}  # not_idempotent comes before attempts_exhausted
    assert last.found == {"reason": 1}


def test_both_go_on_while_they_agree() -> None:
    pair = Pair(retrying(max_attempts=2))
    pair.begin()

    pair.status(503, 0.1)
    pair.depart(0.2)
    agreed = dict(pair.found)
    pair.status(503, 1.5)

    assert agreed == {}
    assert pair.found == {"no_retry": 1}
    assert pair.shadow.compared == 4


def test_after_a_difference_nothing_more_is_counted_of_that_exchange() -> None:
    pair = Pair(retrying(max_attempts=1))
    pair.begin()
    pair.status(503)
    pair.depart()
    pair.status(503)
    pair.end()

    assert pair.found == {"no_retry": 1}
    assert pair.shadow.compared == 2


def test_the_shadow_pays_from_a_budget_of_its_own() -> None:
    candidate = replace(POLICY, budget=BudgetPolicy(ratio=0.0, burst=10, min_retries=1))
    pair = Pair(candidate)
    for step in range(4):
        pair.begin(step * 1.5)
        pair.status(503, step * 1.5)
        pair.depart(step * 1.5)
        pair.status(200, step * 1.5)
        pair.end(step * 1.5)

    assert pair.found == {"no_retry": 3}
    assert pair.real.tally.retries == {"status_503": 4}
    assert pair.real.budget.retries_in_window(5.0) == 4


def test_the_real_destination_does_not_notice_its_shadow() -> None:
    alone = Destination("payments", POLICY, lambda: 0.0, 0.0)
    pair = Pair(retrying(max_attempts=1, statuses=frozenset({502})))
    for status in (200, 503, 502, 404):
        exchange = RetryState(alone, 0.0, math.inf)
        exchange.admit(0.0)
        exchange.on_status(0.1, status, None)
        exchange.abandon(0.2)
        pair.begin()
        pair.status(status)
        pair.exchange.abandon(0.2)
        pair.twin.over(0.2)

    for destination in (alone, pair.real):
        assert destination.limiter.in_flight == 0
    assert alone.tally.attempts == pair.real.tally.attempts
    assert alone.tally.refusals == pair.real.tally.refusals
    assert alone.budget.balance(1.0) == pair.real.budget.balance(1.0)


def test_a_candidate_that_is_less_patient_would_have_tried_again_before_the_answer() -> None:
    pair = Pair(POLICY, PATIENT)
    pair.begin()

    pair.status(200, now=3.0)

    assert pair.found == {"retry": 1}


def test_a_retry_beside_an_attempt_that_was_answered_well_would_have_saved_nothing() -> None:
    pair = Pair(POLICY, PATIENT)
    pair.begin()
    pair.status(200, now=3.0)

    assert pair.shadow.last_day(3.0) == {"retry": 1, "saved": 0, "refused": 0, "timeout": 0}
    assert pair.shadow.destination.lateness.seconds == 1.25 * 3.0


def test_a_retry_beside_an_attempt_that_failed_would_have_saved_the_request() -> None:
    pair = Pair(POLICY, PATIENT)
    pair.begin()

    verdict = pair.exchange.on_fault(3.0, Fault.RESET, sent=True)
    pair.twin.faulted(3.0, Fault.RESET, verdict, sent=True)
    pair.shadow.destination.late_retries.refund()
    pair.begin(4.0)
    pair.status(503, now=7.0)

    assert pair.found == {"retry": 2}
    assert pair.shadow.last_day(7.0)["saved"] == 1  # of two, each counts as the share that is answered


def test_a_candidate_learns_what_is_late_and_would_try_next_to_none_of_it_again() -> None:
    observed = replace(POLICY, observe=True).in_force()
    pair = Pair(POLICY, observed)
    for number in range(300):
        pair.begin(number * 10.0)
        pair.status(200, now=number * 10.0 + 5.0)
        pair.end(number * 10.0 + 5.0)

    assert pair.found["retry"] <= 3
    assert pair.shadow.destination.lateness.seconds == pytest.approx(1.25 * 5.0)
    pair.shadow.destination.limiter.reclaim(10_000.0)
    assert pair.shadow.destination.limiter.in_flight == pair.real.limiter.in_flight == 0


@pytest.mark.parametrize("elder_wins", [True, False])
def test_both_hold_a_late_attempt_beside_its_retry(elder_wins: bool) -> None:
    pair = Pair(POLICY)
    pair.begin()
    slow = pair.exchange.on_late(2.0)
    pair.twin.slow(2.0, slow)
    pair.depart(2.1)

    if elder_wins:
        verdict = pair.exchange.on_elder_status(2.5, 200, None)
        pair.twin.elder_answered(2.5, 200, None, verdict)
    else:
        failed = pair.exchange.on_elder_fault(2.3, Fault.RESET, sent=True)
        pair.twin.elder_faulted(2.3, Fault.RESET, failed, sent=True)
        pair.status(200, 2.5)
    pair.end(2.5)

    assert pair.found == {}
    for destination in (pair.real, pair.shadow.destination):
        destination.limiter.reclaim(1000.0)
        assert destination.limiter.in_flight == 0
    assert pair.shadow.destination.tally.late_wins == int(elder_wins)
    assert pair.shadow.destination.tally.attempts == pair.real.tally.attempts


def test_at_the_deadline_both_attempts_of_both_are_over() -> None:
    pair = Pair(POLICY)
    pair.begin()
    pair.twin.slow(2.0, pair.exchange.on_late(2.0))
    pair.depart(2.1)

    verdict = pair.exchange.on_deadline(60.0, sent=True)
    pair.twin.timed_out(60.0, verdict, sent=True)
    pair.end(60.0, Result.FAULT)

    assert pair.found == {}
    assert pair.shadow.destination.limiter.in_flight == pair.real.limiter.in_flight == 0


def test_a_candidate_that_is_more_patient_would_not_have_given_the_attempt_up() -> None:
    pair = Pair(PATIENT, POLICY)
    pair.begin()

    verdict = pair.exchange.on_late(2.0)
    pair.twin.slow(2.0, verdict)

    assert isinstance(verdict, Retry)
    assert pair.found == {"no_retry": 1}


def test_a_candidate_with_less_time_in_all_would_have_given_up() -> None:
    pair = Pair(replace(PATIENT, timeout=1.0), PATIENT)
    pair.begin(repeatable_until=-math.inf)

    pair.status(200, now=3.0)

    assert pair.found == {"timeout": 1}


def test_an_original_that_would_have_had_to_wait_is_a_difference() -> None:
    narrow = replace(POLICY, concurrency=ConcurrencyPolicy(initial=1, min_in_flight=1, max_in_flight=1))
    pair = Pair(narrow)
    pair.begin()
    first = pair.exchange, pair.twin

    pair.begin()
    pair.exchange, pair.twin = first
    pair.status(200)

    assert pair.found == {"hold": 1}
    assert pair.shadow.destination.limiter.in_flight == 0
    assert not pair.shadow.destination.limiter.waiting


def test_a_fault_is_judged_by_both() -> None:
    pair = Pair(retrying(faults=frozenset({Fault.CONNECT_FAILURE})))
    pair.begin()

    verdict = pair.exchange.on_fault(0.1, Fault.RESET, sent=True)
    pair.twin.faulted(0.1, Fault.RESET, verdict, sent=True)

    assert pair.found == {"no_retry": 1}


def test_a_caller_who_leaves_leaves_nothing_behind() -> None:
    pair = Pair(POLICY)
    pair.begin()

    pair.exchange.abandon(0.1)
    pair.twin.over(0.1)

    assert pair.shadow.destination.limiter.in_flight == 0
    assert pair.found == {}


@pytest.mark.parametrize("seed", range(5))
def test_a_policy_differs_from_itself_in_nothing(seed: int) -> None:
    """Whatever happens, short of chance itself: the jitter is none here, and the breaker stays shut."""
    dice = random.Random(seed)
    calm = replace(POLICY, retry=replace(RetryPolicy(), backoff=BackoffPolicy(base=0.01, max=0.01)))
    calm = replace(
        calm, breaker=replace(calm.breaker, failure_ratio=1.0, consecutive_failures=10_000, min_requests=10_000)
    )
    pair = Pair(calm, calm)
    now = 0.0
    for _ in range(500):
        now += dice.random() * 0.05
        pair.begin(now, math.inf if dice.random() < 0.7 else -math.inf)
        while isinstance(pair.status(dice.choice([200, 503, 429, 502, 404]), now := now + 0.01), Retry):
            if pair.depart(now := now + 0.01) is not Admission.GO:
                break
        pair.end(now)

    assert pair.found == {}
    assert pair.shadow.compared > 700
    assert pair.shadow.destination.limiter.in_flight == pair.real.limiter.in_flight == 0
    assert set(Difference) == set(pair.shadow.differences)
