import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sidecar.engine.breaker import BreakerState
from sidecar.engine.budget import FREE_RECONNECTS
from sidecar.engine.destination import Destination
from sidecar.engine.outcome import AttemptKind, Fault, Result
from sidecar.engine.policy import (
    BackoffPolicy,
    BreakerPolicy,
    BudgetPolicy,
    ConcurrencyPolicy,
    DestinationPolicy,
    LimitKind,
    RetryAfterPolicy,
    RetryPolicy,
)
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import AWAIT, DELIVER, REFUSED, Await, Refusal, Retry, Verdict
from tests.fakes.dice import SeededDice

GO, WAIT = Admission
IDEMPOTENT = math.inf
UNSAFE = -math.inf
ROUNDING = 1e-6


def middle() -> float:
    return 0.5


def destination_with(
    policy: DestinationPolicy | None = None, rand: Callable[[], float] = middle, now: float = 0.0
) -> Destination:
    return Destination("payments", policy or DestinationPolicy(timeout=10.0), rand, now)


def in_flight(destination: Destination | None = None, repeatable_until: float = IDEMPOTENT) -> RetryState:
    exchange = RetryState(destination or destination_with(), 0.0, repeatable_until)
    assert exchange.admit(0.0) is GO
    return exchange


def opened(destination: Destination, now: float = 0.0) -> None:
    for _ in range(destination.policy.breaker.consecutive_failures):
        destination.breaker.failure(destination.breaker.generation, now)


def exhausted(destination: Destination) -> None:
    while destination.budget.withdraw(0.0):
        pass


def crowded(destination: Destination) -> None:
    destination.limiter.in_flight += 100_000


# What is delivered


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 404, 409, 422, 500, 502, 504])
def test_a_status_that_is_not_listed_is_delivered(status: int) -> None:
    exchange = in_flight()

    verdict = exchange.on_status(0.1, status, None)

    assert verdict is DELIVER
    assert exchange.destination.limiter.in_flight == 0


def test_a_protocol_fault_is_delivered() -> None:
    exchange = in_flight()

    verdict = exchange.on_fault(0.1, Fault.PROTOCOL, sent=True)

    assert verdict is DELIVER


def test_a_fault_that_the_policy_does_not_list_is_delivered() -> None:
    destination = destination_with(DestinationPolicy(retry=RetryPolicy(faults=frozenset())))

    verdicts = [
        in_flight(destination).on_fault(0.1, Fault.RESET, sent=True),
        in_flight(destination).on_late(2.0),
    ]

    assert verdicts == [DELIVER, DELIVER]


# What is tried again


def test_a_listed_status_is_tried_again_after_full_jitter() -> None:
    exchange = in_flight()

    verdict = exchange.on_status(0.1, 503, None)

    assert verdict == Retry(0.5 * 0.025, "status_503")


def test_the_jitter_doubles_with_every_failure() -> None:
    exchange = in_flight()
    exchange.on_status(0.1, 503, None)
    exchange.depart(0.2)

    verdict = exchange.on_status(1.3, 503, None)

    assert verdict == Retry(0.5 * 0.05, "status_503")


def test_the_servers_wish_is_waited_for_and_jittered() -> None:
    exchange = in_flight()

    verdict = exchange.on_status(0.1, 429, 2.0)

    assert verdict == Retry(2.0 + 0.5 * 0.025, "status_429")


def test_an_unsafe_request_of_which_nothing_left_is_tried_again() -> None:
    exchange = in_flight(repeatable_until=UNSAFE)

    verdict = exchange.on_fault(0.1, Fault.CONNECT_FAILURE, sent=False)

    assert verdict == Retry(0.5 * 0.025, "connect_failure")


@pytest.mark.parametrize("fault", list(Fault))
def test_the_breaker_hears_of_every_fault_that_comes_fast(fault: Fault) -> None:
    destination = destination_with(DestinationPolicy(breaker=BreakerPolicy(consecutive_failures=1)))

    in_flight(destination).on_fault(0.1, fault, sent=True)

    assert (destination.breaker.state(0.1) is BreakerState.OPEN) == (fault is not Fault.TIMEOUT)


def test_a_permanent_fault_is_delivered_and_costs_no_token() -> None:
    exchange = in_flight()
    balance = exchange.destination.budget.balance(0.1)

    verdict = exchange.on_fault(0.1, Fault.CONNECT_FAILURE, sent=False, permanent=True)

    assert verdict is DELIVER
    assert exchange.destination.budget.balance(0.1) == balance
    assert sum(exchange.destination.tally.refusals.values()) == 0


def test_an_original_pays_in_when_it_leaves_and_not_before() -> None:
    policy = DestinationPolicy(concurrency=ConcurrencyPolicy(LimitKind.FIXED, min_in_flight=1, max_in_flight=1))
    destination = destination_with(policy)
    first, second = (RetryState(destination, 0.0, IDEMPOTENT) for _ in range(2))
    deposits = []

    for exchange in (first, second):
        exchange.admit(0.0)
        deposits.append(destination.budget.requests_in_window(0.0))
    first.on_status(0.1, 200, None)
    turn = destination.next_waiter(0.1)
    second.admit(0.1)
    deposits.append(destination.budget.requests_in_window(0.1))

    assert turn is second
    assert deposits == [1, 1, 2]


def test_a_retry_that_departs_is_an_attempt_in_flight_with_its_cause_counted() -> None:
    exchange = in_flight()
    exchange.on_status(0.1, 503, None)

    admission = exchange.depart(0.2)

    assert admission is GO
    assert exchange.attempts == 2
    assert exchange.destination.limiter.in_flight == 1
    assert exchange.destination.tally.retries == {"status_503": 1}


def test_waiting_for_the_back_off_holds_no_place() -> None:
    exchange = in_flight()

    exchange.on_status(0.1, 503, None)

    assert exchange.destination.limiter.in_flight == 0


# What is refused


def refused_by(refusal: Refusal) -> Verdict:
    """The verdict on a 429 where this reason to refuse holds, and every later one that can hold beside it."""
    reasons = list(Refusal)
    holding = reasons[reasons.index(refusal) :]
    retry = RetryPolicy(
        max_attempts=1 if Refusal.ATTEMPTS_EXHAUSTED in holding else 3,
        retry_after=RetryAfterPolicy(max=5.0 if Refusal.RETRY_AFTER_TOO_LONG in holding else 60.0),
    )
    destination = destination_with(DestinationPolicy(timeout=3.0, retry=retry))
    exchange = in_flight(destination, UNSAFE if Refusal.NOT_IDEMPOTENT in holding else IDEMPOTENT)
    exchange.committed = Refusal.COMMITTED in holding
    exchange.replayable = Refusal.NOT_REPLAYABLE not in holding
    destination.draining = Refusal.DRAINING in holding
    if Refusal.BREAKER_OPEN in holding:
        opened(destination)
    if Refusal.CONCURRENCY_LIMIT in holding:
        crowded(destination)
    if Refusal.BUDGET_EXHAUSTED in holding:
        exhausted(destination)
    wish = 10.0 if Refusal.DEADLINE in holding else 0.0
    return exchange.on_status(0.1, 429, wish, peer_refused=Refusal.PEER_REFUSED in holding)


@pytest.mark.parametrize("refusal", Refusal)
def test_the_first_reason_that_holds_is_the_one_that_is_told(refusal: Refusal) -> None:
    verdict = refused_by(refusal)

    assert verdict is REFUSED[refusal]


@pytest.mark.parametrize("refusal", [refusal for refusal in Refusal if refusal is not Refusal.BUDGET_EXHAUSTED])
def test_a_retry_refused_for_another_reason_costs_no_token(refusal: Refusal) -> None:
    destination = destination_with(
        DestinationPolicy(timeout=3.0, retry=RetryPolicy(max_attempts=1 if "attempts" in refusal.value else 3))
    )
    exchange = in_flight(destination, UNSAFE if refusal is Refusal.NOT_IDEMPOTENT else IDEMPOTENT)
    exchange.committed = refusal is Refusal.COMMITTED
    exchange.replayable = refusal is not Refusal.NOT_REPLAYABLE
    destination.draining = refusal is Refusal.DRAINING
    if refusal is Refusal.BREAKER_OPEN:
        opened(destination)
    if refusal is Refusal.CONCURRENCY_LIMIT:
        crowded(destination)
    wish = {Refusal.RETRY_AFTER_TOO_LONG: 600.0, Refusal.DEADLINE: 2.95}.get(refusal)
    balance = destination.budget.balance(0.1)

    verdict = exchange.on_status(0.1, 503, wish, peer_refused=refusal is Refusal.PEER_REFUSED)

    assert verdict is REFUSED[refusal]
    assert destination.budget.balance(0.1) == balance
    assert destination.tally.refusals[refusal] == 1


def test_a_wish_of_ten_minutes_is_given_up_at_once() -> None:
    exchange = in_flight()

    verdict = exchange.on_status(0.1, 503, 600.0)

    assert verdict is REFUSED[Refusal.RETRY_AFTER_TOO_LONG]


def test_a_wish_that_is_not_honoured_changes_nothing() -> None:
    policy = DestinationPolicy(retry=RetryPolicy(retry_after=RetryAfterPolicy(honour=False)))
    exchange = in_flight(destination_with(policy), repeatable_until=300.0)

    verdict = exchange.on_status(0.1, 503, 600.0)

    assert verdict == Retry(0.5 * 0.025, "status_503")


def test_a_retry_must_leave_the_least_that_is_worth_it_before_the_deadline() -> None:
    exchanges = [in_flight(), in_flight()]

    verdicts = [exchange.on_status(9.9, 503, wish) for exchange, wish in zip(exchanges, (0.03, 0.04), strict=True)]

    assert verdicts == [Retry(0.03 + 0.0125, "status_503"), REFUSED[Refusal.DEADLINE]]


def test_a_retry_is_refused_while_originals_wait_for_a_place() -> None:
    policy = DestinationPolicy(concurrency=ConcurrencyPolicy(LimitKind.FIXED, min_in_flight=1, max_in_flight=1))
    destination = destination_with(policy)
    exchange = in_flight(destination)
    assert RetryState(destination, 0.0, IDEMPOTENT).admit(0.0) is WAIT

    verdict = exchange.on_status(0.1, 503, None)

    assert verdict is REFUSED[Refusal.CONCURRENCY_LIMIT]


# What may have been executed is not repeated


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.TIMEOUT])
def test_an_unsafe_request_that_was_sent_is_never_sent_again(fault: Fault) -> None:
    exchange = in_flight(repeatable_until=UNSAFE)

    verdict = exchange.on_fault(0.1, fault, sent=True)

    assert verdict is REFUSED[Refusal.NOT_IDEMPOTENT]


def test_a_key_is_good_for_a_retry_inside_its_retention() -> None:
    exchange = in_flight(repeatable_until=1.0)

    verdict = exchange.on_status(0.1, 503, 0.5)

    assert isinstance(verdict, Retry)


@pytest.mark.parametrize("wish", [0.95, 0.895])  # the second would be too late by its jitter alone
def test_a_key_is_no_good_for_a_retry_after_its_retention(wish: float) -> None:
    exchange = in_flight(repeatable_until=1.0)

    verdict = exchange.on_status(0.1, 503, wish)

    assert verdict is REFUSED[Refusal.NOT_IDEMPOTENT]


def test_a_late_timer_does_not_carry_a_retry_past_the_retention() -> None:
    exchange = in_flight(repeatable_until=0.12)
    assert exchange.on_status(0.1, 503, None) == Retry(0.0125, "status_503")

    admission = exchange.depart(0.121)

    assert admission is Refusal.NOT_IDEMPOTENT
    assert exchange.destination.budget.retries_in_window(0.121) == 0


def test_an_earlier_attempt_that_was_sent_is_not_forgotten() -> None:
    exchange = in_flight(repeatable_until=1.0)
    exchange.on_fault(0.1, Fault.RESET, sent=True)
    exchange.depart(0.2)

    verdict = exchange.on_fault(1.1, Fault.CONNECT_FAILURE, sent=False)

    assert verdict is REFUSED[Refusal.NOT_IDEMPOTENT]


def test_a_slow_connect_does_not_make_an_unsafe_request_sent() -> None:
    exchange = in_flight(repeatable_until=UNSAFE)
    exchange.on_late(2.0)

    verdict = exchange.on_fault(2.5, Fault.CONNECT_FAILURE, sent=False)

    assert isinstance(verdict, Retry)


# Departure


def paused(destination: Destination | None = None) -> RetryState:
    exchange = in_flight(destination)
    assert isinstance(exchange.on_status(0.1, 503, None), Retry)
    return exchange


@pytest.mark.parametrize(
    ("hindrance", "refusal"),
    [
        (lambda destination: setattr(destination, "draining", True), Refusal.DRAINING),
        (lambda destination: opened(destination, 0.1), Refusal.BREAKER_OPEN),
        (crowded, Refusal.CONCURRENCY_LIMIT),
    ],
)
def test_a_retry_that_may_not_leave_after_all_gives_its_token_back(
    hindrance: Callable[[Destination], None], refusal: Refusal
) -> None:
    exchange = paused()
    destination = exchange.destination
    hindrance(destination)

    admission = exchange.depart(0.2)

    assert admission is refusal
    assert destination.budget.retries_in_window(0.2) == 0
    assert destination.tally.refusals[refusal] == 1
    assert destination.tally.retries == {}


@pytest.mark.parametrize(("late", "admission"), [(0.0, GO), (0.019, GO), (0.021, Refusal.DEADLINE)])
def test_a_late_timer_has_a_tick_of_grace(late: float, admission: Admission | Refusal) -> None:
    exchange = paused()

    departed = exchange.depart(10.0 - 0.05 + late)

    assert departed is admission


@pytest.mark.parametrize(("late", "admission"), [(0.0, GO), (0.001, Refusal.DEADLINE)])
def test_the_grace_never_reaches_past_the_deadline(late: float, admission: Admission | Refusal) -> None:
    destination = destination_with(DestinationPolicy(timeout=10.0, retry=RetryPolicy(min_remaining=0.0)))

    exchange = paused(destination)

    departed = exchange.depart(10.0 + late)

    assert departed is admission


def test_a_retry_may_be_the_probe_of_a_breaker_whose_time_is_over() -> None:
    exchange = paused()
    opened(exchange.destination, 0.1)

    admission = exchange.depart(0.5)

    assert admission is GO
    assert exchange.destination.breaker.state(0.5) is BreakerState.HALF_OPEN


# Slow attempts


def late(destination: Destination | None = None) -> RetryState:
    """One whose attempt is late, and whose retry is granted."""
    exchange = in_flight(destination)
    assert isinstance(exchange.on_late(2.0), Retry)
    return exchange


def both(destination: Destination | None = None) -> RetryState:
    """One whose late attempt and retry are both in flight."""
    exchange = late(destination)
    assert exchange.depart(2.1) is GO
    return exchange


def results(exchange: RetryState) -> dict[tuple[AttemptKind, Result], int]:
    attempts = exchange.destination.tally.attempts
    return {(kind, result): n for kind in AttemptKind for result in Result if (n := attempts[kind][result])}


def reclaimed(destination: Destination) -> int:
    destination.limiter.reclaim(100_000.0)
    return destination.limiter.in_flight


FIRST, RETRY = AttemptKind.FIRST, AttemptKind.RETRY


def test_a_late_attempt_goes_on_beside_its_retry() -> None:
    exchange = both()

    assert exchange.elder is not None
    assert (exchange.elder.number, exchange.attempt_number) == (1, 2)
    assert exchange.destination.limiter.in_flight == 2
    assert exchange.destination.tally.late_attempts == 1


def test_the_retry_is_answered_first_and_the_elder_called_off() -> None:
    exchange = both()

    verdict = exchange.on_status(2.2, 200, None)

    assert verdict is DELIVER
    assert exchange.elder is None
    assert results(exchange) == {(RETRY, Result.SUCCESS): 1, (FIRST, Result.SUPERSEDED): 1}
    assert reclaimed(exchange.destination) == 0


def test_a_late_retry_that_is_not_worth_it_is_no_refusal_and_costs_no_token() -> None:
    destination = destination_with()
    late(destination)
    again = in_flight(destination)
    paid = destination.budget.retries_in_window(2.0)

    verdict = again.on_late(2.0)

    assert verdict is DELIVER
    assert again.elder is None
    assert destination.budget.retries_in_window(2.0) == paid
    assert sum(destination.tally.refusals.values()) == 0


def test_where_nothing_at_all_is_answered_what_is_late_is_not_tried_again() -> None:
    destination = destination_with()
    destination.tally.requests[Result.SUCCESS] = 10_000
    flying = [in_flight(destination) for _ in range(5)]

    verdict = flying[0].on_late(2.0)
    flying[1].on_status(2.1, 200, None)

    assert verdict is DELIVER
    assert isinstance(flying[2].on_late(2.2), Retry)


def test_a_late_retry_that_has_won_pays_for_the_next_one() -> None:
    exchange = both()
    exchange.on_status(2.2, 200, None)
    reclaimed(exchange.destination)

    assert isinstance(in_flight(exchange.destination).on_late(4.0), Retry)


def test_a_late_retry_that_goes_elsewhere_is_not_rationed() -> None:
    budget = BudgetPolicy(ratio=1.0, burst=10, min_retries=10)
    destination = destination_with(DestinationPolicy(timeout=10.0, budget=budget))
    late(destination)
    here, elsewhere = in_flight(destination), in_flight(destination)
    elsewhere.elsewhere = True

    verdicts = here.on_late(2.0), elsewhere.on_late(2.0)

    assert verdicts[0] is DELIVER
    assert isinstance(verdicts[1], Retry)


def test_a_late_retry_that_the_budget_refuses_is_paid_for_by_nothing_else() -> None:
    destination = destination_with()
    exchange = in_flight(destination)
    while destination.budget.withdraw(2.0):
        pass

    verdict = exchange.on_late(2.0)

    assert verdict == REFUSED[Refusal.BUDGET_EXHAUSTED]
    assert destination.late_retries.withdraw(0, alone=True)


def test_an_elder_that_was_called_off_is_no_sign_that_requests_take_long() -> None:
    destination = destination_with()
    exchange = both(destination)
    exchange.on_status(2.2, 200, None)  # the retry has won; the elder's slot is orphaned
    orphaned = destination.limiter.orphaned
    later = RetryState(destination, 3.0, IDEMPOTENT)
    later.admit(3.0)

    verdict = later.on_late(5.0)

    assert orphaned == 1
    assert isinstance(verdict, Retry)


def test_the_elder_is_answered_first_and_the_retry_called_off() -> None:
    exchange = both()

    verdict = exchange.on_elder_status(2.2, 200, None)

    assert verdict is DELIVER
    assert results(exchange) == {(FIRST, Result.SUCCESS): 1, (RETRY, Result.SUPERSEDED): 1}
    assert exchange.destination.tally.late_wins == 1
    assert reclaimed(exchange.destination) == 0


def test_the_elder_is_answered_during_the_back_off_and_the_token_comes_back() -> None:
    exchange = late()
    paid = exchange.destination.budget.retries_in_window(2.0)

    verdict = exchange.on_elder_status(2.01, 200, None)

    assert verdict is DELIVER
    assert exchange.destination.budget.retries_in_window(2.01) == paid - 1
    assert exchange.destination.limiter.in_flight == 0


@pytest.mark.parametrize("ending", [503, Fault.RESET])
def test_a_failure_of_the_retry_leaves_the_elder_awaited(ending: int | Fault) -> None:
    exchange = both()

    verdict = (
        exchange.on_fault(2.2, ending, sent=True)
        if isinstance(ending, Fault)
        else exchange.on_status(2.2, ending, None)
    )
    answer = exchange.on_status(3.0, 200, None)

    assert verdict is AWAIT
    assert answer is DELIVER
    assert exchange.destination.limiter.in_flight == 0
    assert exchange.destination.tally.attempts[FIRST][Result.SUCCESS] == 1


@pytest.mark.parametrize("ending", [503, Fault.RESET])
def test_a_failure_of_the_elder_leaves_the_retry_awaited(ending: int | Fault) -> None:
    exchange = both()

    verdict = (
        exchange.on_elder_fault(2.2, ending, sent=True)
        if isinstance(ending, Fault)
        else exchange.on_elder_status(2.2, ending, None)
    )
    answer = exchange.on_status(3.0, 200, None)

    assert verdict is AWAIT
    assert answer is DELIVER
    assert exchange.destination.limiter.in_flight == 0


def test_a_failure_of_the_elder_during_the_back_off_is_judged_anew_and_its_wish_is_heard() -> None:
    exchange = late()
    paid = exchange.destination.budget.retries_in_window(2.0)

    verdict = exchange.on_elder_status(2.01, 429, 3.0)

    assert verdict == Retry(3.0 + 0.5 * 0.025, "status_429")
    assert exchange.destination.budget.retries_in_window(2.01) == paid
    assert exchange.elder is None


def test_a_retry_that_may_not_leave_makes_the_elder_the_current_attempt_again() -> None:
    exchange = late()
    exchange.destination.draining = True

    admission = exchange.depart(2.1)
    answer = exchange.on_status(3.0, 200, None)

    assert admission is Refusal.DRAINING
    assert answer is DELIVER
    assert exchange.destination.tally.attempts[FIRST][Result.SUCCESS] == 1
    assert exchange.destination.limiter.in_flight == 0


def test_there_are_never_three_at_once() -> None:
    exchange = both()

    verdict = exchange.on_late(4.2)

    assert verdict is DELIVER
    assert exchange.attempts == 2


def test_where_both_are_late_the_request_is_what_takes_long() -> None:
    exchange = both()

    exchange.on_late(4.1)

    assert exchange.destination.lateness.seconds == 1.25 * 4.1


@pytest.mark.parametrize("departed", [False, True])
def test_at_the_deadline_both_are_over(departed: bool) -> None:
    exchange = both() if departed else late()

    verdict = exchange.on_deadline(60.0, sent=True)

    assert verdict is REFUSED[Refusal.DEADLINE]
    assert exchange.destination.limiter.in_flight == 0
    assert exchange.destination.tally.attempts[FIRST][Result.FAULT] == 1


@pytest.mark.parametrize("departed", [False, True])
def test_a_caller_that_leaves_takes_both_with_it(departed: bool) -> None:
    exchange = both() if departed else late()
    exchange.abandon(2.2)

    assert reclaimed(exchange.destination) == 0
    assert exchange.destination.tally.attempts_total == 1 + departed


def test_an_attempt_that_can_not_be_kept_is_given_up_for_its_retry() -> None:
    exchange = late()

    exchange.give_up_elder(2.0)

    assert exchange.elder is None
    assert exchange.destination.limiter.in_flight == 0
    assert exchange.depart(2.1) is GO


def test_what_is_late_is_learned_from_late_answers() -> None:
    exchange = in_flight(repeatable_until=UNSAFE)
    exchange.on_late(2.0)
    exchange.on_status(8.0, 200, None)

    later = RetryState(exchange.destination, 10.0, IDEMPOTENT)
    later.admit(10.0)

    assert later.late_at == 10.0 + 1.25 * 8.0


def test_a_slow_attempt_without_a_retry_is_left_running() -> None:
    exchange = in_flight(repeatable_until=UNSAFE)

    slow = exchange.on_late(2.0)
    answer = exchange.on_status(3.0, 200, None)

    assert slow is REFUSED[Refusal.NOT_IDEMPOTENT]
    assert answer is DELIVER
    assert exchange.destination.limiter.in_flight == 0
    assert exchange.destination.tally.attempts[AttemptKind.FIRST][Result.SUCCESS] == 1


def test_a_late_attempt_lowers_no_limit() -> None:
    """Latency is no evidence of a queue."""
    exchange = in_flight(repeatable_until=UNSAFE)
    before = exchange.destination.limiter.limit

    exchange.on_late(2.0)

    assert exchange.destination.limiter.limit == before


def test_a_retry_beside_a_late_attempt_needs_a_slot_of_its_own() -> None:
    policy = DestinationPolicy(concurrency=ConcurrencyPolicy(LimitKind.FIXED, min_in_flight=1, max_in_flight=1))
    exchange = in_flight(destination_with(policy))

    verdict = exchange.on_late(2.0)

    assert verdict is REFUSED[Refusal.CONCURRENCY_LIMIT]


def test_no_retry_leaves_after_the_window_for_retries() -> None:
    exchange = in_flight(destination_with(DestinationPolicy(timeout=60.0)))

    verdict = exchange.on_status(10.0, 503, None)

    assert verdict is REFUSED[Refusal.DEADLINE]
    assert exchange.deadline > 10.0


# Uploads


def test_a_slow_upload_gives_its_slot_back_until_its_body_has_ended() -> None:
    exchange = in_flight()
    limiter = exchange.destination.limiter

    exchange.on_upload_slow(1.0)
    during = limiter.in_flight
    exchange.on_request_complete(30.0)

    assert (during, limiter.in_flight) == (0, 1)
    assert (exchange.attempt_began, exchange.deadline) == (30.0, 30.0 + exchange.policy.timeout)


@pytest.mark.parametrize("ending", ["status", "fault", "deadline", "gone", "stale"])
def test_however_a_slow_upload_ends_it_leaves_in_flight_once(ending: str) -> None:
    exchange = in_flight()
    exchange.on_upload_slow(1.0)

    match ending:
        case "status":
            exchange.on_status(2.0, 413, None)
        case "fault":
            exchange.on_fault(2.0, Fault.RESET, sent=True)
        case "deadline":
            exchange.on_deadline(60.0, sent=True)
        case "gone":
            exchange.abandon(2.0)
        case _:
            assert exchange.reconnect(2.0)
            exchange.on_status(2.1, 200, None)

    assert reclaimed(exchange.destination) == 0


def test_an_upload_in_progress_is_no_probe() -> None:
    destination = destination_with()
    opened(destination)
    upload = RetryState(destination, 1.0, UNSAFE)
    assert upload.admit(1.0) is GO

    upload.on_upload_slow(2.0)
    other = RetryState(destination, 2.0, IDEMPOTENT)

    assert other.admit(2.0) is GO
    other.on_status(2.1, 200, None)
    assert destination.breaker.state(2.1) is BreakerState.RECOVERING


def test_a_probe_is_waited_for_no_longer_than_one_attempt() -> None:
    destination = destination_with()
    opened(destination)
    assert RetryState(destination, 1.0, UNSAFE).admit(1.0) is GO

    assert destination.breaker.state(3.0) is BreakerState.OPEN


# Verdicts at trailers, refused streams


def test_a_stream_that_was_refused_unprocessed_is_sent_again_whatever_its_method() -> None:
    exchange = in_flight(repeatable_until=UNSAFE)

    verdict = exchange.on_fault(0.1, Fault.RESET, sent=False)

    assert isinstance(verdict, Retry)


def test_a_verdict_may_come_at_the_trailers() -> None:
    exchange, committed = in_flight(), in_flight()
    committed.committed = True

    assert isinstance(exchange.on_status(0.5, 503, None), Retry)
    assert committed.on_status(0.5, 503, None) is REFUSED[Refusal.COMMITTED]


def test_a_slow_probe_opens_the_breaker_again() -> None:
    destination = destination_with()
    opened(destination)
    probe = RetryState(destination, 1.0, UNSAFE)
    assert probe.admit(1.0) is GO

    probe.on_late(3.0)

    assert destination.breaker.state(3.0) is BreakerState.OPEN


# Stale connections


def test_a_stale_connection_is_replaced_once_and_free_of_charge() -> None:
    exchange = in_flight()
    balance = exchange.destination.budget.balance(0.1)

    answers = [exchange.reconnect(0.1), exchange.reconnect(0.2)]

    assert answers == [True, False]
    assert exchange.attempts == 2
    assert exchange.destination.limiter.in_flight == 1
    assert exchange.destination.budget.balance(0.1) == balance


def test_a_reconnect_leaves_all_retries_to_be_made() -> None:
    exchange = in_flight()
    exchange.reconnect(0.1)

    verdicts = [exchange.on_status(0.2, 503, None)]
    for second in (1.0, 2.0):
        exchange.depart(second)
        verdicts.append(exchange.on_status(second + 0.5, 503, None))

    assert [isinstance(verdict, Retry) for verdict in verdicts] == [True, True, False]
    assert verdicts[-1] is REFUSED[Refusal.ATTEMPTS_EXHAUSTED]


@pytest.mark.parametrize("hindrance", ["unsafe", "committed", "not replayable"])
def test_only_what_is_safe_to_repeat_is_reconnected(hindrance: str) -> None:
    exchange = in_flight(repeatable_until=UNSAFE if hindrance == "unsafe" else IDEMPOTENT)
    exchange.committed = hindrance == "committed"
    exchange.replayable = hindrance != "not replayable"

    answer = exchange.reconnect(0.1)

    assert not answer
    assert exchange.attempts == 1


def test_a_reconnect_is_no_probe_of_a_breaker_it_never_asked() -> None:
    destination = destination_with()
    exchange = in_flight(destination)
    opened(destination)
    assert destination.breaker.admit(1.0)
    exchange.reconnect(1.0)

    exchange.on_status(1.0, 200, None)

    assert destination.breaker.state(1.0) is BreakerState.HALF_OPEN


# Originals that do not leave at once


def full(max_waiting: int = 1024) -> Destination:
    policy = ConcurrencyPolicy(LimitKind.FIXED, min_in_flight=1, max_in_flight=1, max_waiting=max_waiting)
    destination = destination_with(DestinationPolicy(concurrency=policy))
    in_flight(destination)
    return destination


def test_an_original_over_the_limit_waits_and_leaves_when_there_is_a_place() -> None:
    destination = full()
    waiter = RetryState(destination, 0.0, IDEMPOTENT)

    waits = waiter.admit(0.0)
    destination.limiter.released()
    turn = destination.next_waiter(0.5)

    assert waits is WAIT
    assert turn is waiter
    assert waiter.admit(0.5) is GO
    assert waiter.attempt_began == 0.5


def test_an_original_does_not_overtake_those_that_wait() -> None:
    destination = full()
    RetryState(destination, 0.0, IDEMPOTENT).admit(0.0)
    destination.limiter.released()

    admission = RetryState(destination, 0.1, IDEMPOTENT).admit(0.1)

    assert admission is WAIT


def test_an_original_beyond_the_queue_is_refused() -> None:
    destination = full(max_waiting=0)

    admission = RetryState(destination, 0.0, IDEMPOTENT).admit(0.0)

    assert admission is Refusal.CONCURRENCY_LIMIT
    assert destination.tally.refusals[Refusal.CONCURRENCY_LIMIT] == 1


def test_an_original_that_waited_in_vain_is_counted_once() -> None:
    destination = full()
    waiter = RetryState(destination, 0.0, IDEMPOTENT)
    waiter.admit(0.0)

    early = waiter.wake(9.9)
    in_vain = waiter.wake(waiter.wake_at)

    assert waiter.wake_at == waiter.deadline - 0.05
    assert (early, in_vain) == (WAIT, Refusal.CONCURRENCY_LIMIT)
    assert not destination.limiter.waiting
    assert destination.tally.refusals[Refusal.CONCURRENCY_LIMIT] == 1


def test_an_original_whose_deadline_has_moved_waits_on() -> None:
    destination = full()
    waiter = RetryState(destination, 0.0, IDEMPOTENT)
    waiter.admit(0.0)

    waiter.deadline = 15.0

    assert waiter.wake(9.95) is WAIT
    assert waiter.wake_at == 14.95
    assert list(destination.limiter.waiting) == [waiter]


def unheld() -> Destination:
    return destination_with(DestinationPolicy(breaker=BreakerPolicy(hold=0.0)))


def test_an_original_is_refused_while_the_breaker_is_open_and_earns_nothing() -> None:
    destination = unheld()
    opened(destination)

    admission = RetryState(destination, 0.0, IDEMPOTENT).admit(0.0)

    assert admission is Refusal.BREAKER_OPEN
    assert destination.tally.refusals[Refusal.BREAKER_OPEN] == 1
    assert destination.budget.requests_in_window(0.0) == 0
    assert destination.limiter.in_flight == 0


def test_an_original_is_held_until_the_next_probe_and_is_it() -> None:
    destination = destination_with()
    opened(destination)
    held = RetryState(destination, 0.1, IDEMPOTENT)

    admission, until = held.admit(0.1), held.wake_at
    probe = held.wake(until)

    assert (admission, until) == (WAIT, 0.25)
    assert probe is GO
    assert not destination.limiter.waiting
    assert destination.breaker.state(0.25) is BreakerState.HALF_OPEN


def test_the_others_that_are_held_wait_for_what_the_probe_comes_to() -> None:
    destination = destination_with()
    opened(destination)
    probe, held = RetryState(destination, 0.1, IDEMPOTENT), RetryState(destination, 0.1, IDEMPOTENT)
    probe.admit(0.1)
    held.admit(0.1)

    probe.wake(0.25)
    waits = held.wake(0.25)
    probe.on_status(0.3, 200, None)
    turn = destination.next_waiter(0.3)

    assert waits is WAIT
    assert held.wake_at == pytest.approx(0.7)
    assert turn is held
    assert held.admit(0.3) is GO


def test_a_failed_probe_ends_the_time_of_those_that_cannot_wait_for_the_next() -> None:
    destination = destination_with(DestinationPolicy(breaker=BreakerPolicy(max_open=0.5)))
    opened(destination)
    probe, old, new = (RetryState(destination, since, IDEMPOTENT) for since in (0.1, 0.1, 0.24))
    for exchange in (probe, old, new):
        exchange.admit(exchange.began)
    probe.wake(0.25)

    probe.on_status(0.3, 503, None)  # open again until 0.8
    turns = [destination.next_waiter(0.3), destination.next_waiter(0.3)]

    assert turns == [old, None]
    assert old.admit(0.3) is Refusal.BREAKER_OPEN
    assert new.wake(0.84) is GO


def test_a_probe_that_hangs_holds_nobody_for_longer_than_hold() -> None:
    destination = destination_with()
    opened(destination)
    probe, held = RetryState(destination, 0.1, IDEMPOTENT), RetryState(destination, 0.1, IDEMPOTENT)
    probe.admit(0.1)
    held.admit(0.1)
    probe.wake(0.25)
    held.wake(0.25)

    refusal = held.wake(0.7)

    assert refusal is Refusal.BREAKER_OPEN
    assert not destination.limiter.waiting


def test_a_held_original_waits_in_the_line_like_others_once_the_destination_recovers() -> None:
    destination = destination_with()
    opened(destination)
    probe, held = RetryState(destination, 0.1, IDEMPOTENT), RetryState(destination, 0.1, IDEMPOTENT)
    probe.admit(0.1)
    held.admit(0.1)
    probe.wake(0.25)
    held.wake(0.25)
    probe.on_status(0.3, 200, None)

    waits = held.wake(0.7)

    assert waits is WAIT
    assert held.wake_at == held.deadline - 0.05


def test_no_more_than_the_line_takes_are_held() -> None:
    destination = destination_with(DestinationPolicy(concurrency=ConcurrencyPolicy(max_waiting=1)))
    opened(destination)

    admissions = [RetryState(destination, 0.1, IDEMPOTENT).admit(0.1) for _ in range(2)]

    assert admissions == [WAIT, Refusal.BREAKER_OPEN]


def test_a_retry_finds_no_place_beside_the_part_that_a_recovery_leaves() -> None:
    destination = destination_with()  # 20 places, of which a tenth at first
    opened(destination)
    probe = RetryState(destination, 1.0, IDEMPOTENT)
    probe.admit(1.0)
    probe.on_status(1.0, 200, None)
    exchanges = [RetryState(destination, 1.0, IDEMPOTENT) for _ in range(3)]

    admissions = [exchange.admit(1.0) for exchange in exchanges]
    verdict = exchanges[0].on_status(1.01, 503, None)

    assert admissions == [GO, GO, WAIT]
    assert verdict is REFUSED[Refusal.CONCURRENCY_LIMIT]


def test_a_probe_does_not_wait_for_attempts_that_hang() -> None:
    destination = full()
    opened(destination)

    admission = RetryState(destination, 1.0, IDEMPOTENT).admit(1.0)

    assert admission is GO
    assert destination.limiter.in_flight == 2


# Callers that leave, and the end


def test_a_caller_that_leaves_frees_its_place() -> None:
    exchange = in_flight()

    exchange.abandon(0.1)
    exchange.abandon(0.1)

    assert exchange.destination.limiter.in_flight == 0
    assert exchange.destination.tally.attempts[AttemptKind.FIRST][Result.ABANDONED] == 1


def test_a_caller_that_leaves_during_the_back_off_gives_the_token_back() -> None:
    exchange = paused()

    exchange.abandon(0.11)

    assert exchange.destination.budget.retries_in_window(0.11) == 0
    assert exchange.destination.limiter.in_flight == 0


def test_a_caller_that_leaves_the_queue_is_not_called() -> None:
    destination = full()
    waiter = RetryState(destination, 0.0, IDEMPOTENT)
    waiter.admit(0.0)

    waiter.abandon(0.1)
    destination.limiter.released()

    assert destination.next_waiter(0.2) is None


def test_an_abandoned_probe_opens_the_breaker_again() -> None:
    destination = destination_with()
    opened(destination)
    probe = RetryState(destination, 1.0, IDEMPOTENT)
    probe.admit(1.0)

    probe.abandon(1.1)

    assert destination.breaker.state(1.1) is BreakerState.OPEN


def test_an_attempt_that_the_host_could_not_make_says_nothing_of_the_destination() -> None:
    destination = destination_with()

    for _ in range(100):
        in_flight(destination).retract(0.1)

    assert destination.breaker.state(0.1) is BreakerState.CLOSED
    assert destination.limiter.in_flight == 0
    assert destination.tally.attempts_total == 0
    assert destination.attempts_lately.total == destination.requests_lately.total == 0
    assert destination.budget.requests_in_window(0.1) == 0


def test_a_probe_that_the_host_could_not_make_leaves_no_place_taken() -> None:
    destination = destination_with()
    opened(destination)
    probe = RetryState(destination, 1.0, IDEMPOTENT)
    probe.admit(1.0)

    probe.retract(1.1)

    assert destination.breaker.state(1.1) is BreakerState.OPEN


def test_a_retry_that_the_host_could_not_make_stays_paid() -> None:
    exchange = in_flight()
    assert isinstance(exchange.on_status(0.1, 503, None), Retry)
    assert exchange.depart(0.2) is GO

    exchange.retract(0.2)

    assert exchange.attempts == 1
    assert exchange.destination.attempts_lately.total == 1
    assert exchange.destination.budget.retries_in_window(0.2) == 1


@pytest.mark.parametrize(("retries", "successes"), [(0, 0), (1, 1)])
def test_a_request_that_a_retry_saved_is_counted(retries: int, successes: int) -> None:
    exchange = in_flight()
    for _ in range(retries):
        exchange.on_status(0.1, 503, None)
        exchange.depart(0.2)
    exchange.on_status(0.3, 200, None)

    exchange.finish(0.4, Result.SUCCESS)

    tally = exchange.destination.tally
    assert tally.requests_total == 1
    assert tally.retry_successes == successes
    assert tally.request_seconds.sum == pytest.approx(0.4)


def test_an_exchange_keeps_the_policy_it_began_with() -> None:
    exchange = in_flight()

    exchange.destination.adopt(DestinationPolicy(timeout=1.0, retry=RetryPolicy(max_attempts=1)), 0.05)

    assert exchange.deadline == 10.0
    assert isinstance(exchange.on_status(0.1, 503, None), Retry)


# Everything at once


@dataclass(eq=False)
class Call:
    """One request as its host sees it."""

    exchange: RetryState
    sent: bool = False
    due: float = 0.0
    not_before: float = 0.0
    granted_at: float = 0.0


ENDINGS = ("200", "500", "503", "503 wish", "429 wish", "reset", "connect", "timeout", "protocol", "slow", "stale")


LONGEST_WAIT_SECONDS = 1.0
"""Of a granted retry in an `Outage`: its Retry-After, the jitter, and a timer that is late."""


class Outage(RuleBasedStateMachine):
    """A host that serves bursts of every kind of request from a destination that fails in every way."""

    @initialize(
        ratio=st.sampled_from([0.0, 0.2, 1.0]),
        floor=st.sampled_from([0, 3, 50]),
        limit=st.sampled_from([LimitKind.ADAPTIVE, LimitKind.FIXED]),
        places=st.sampled_from([1, 4, 50]),
        consecutive=st.sampled_from([2, 10, 10_000]),
        probes=st.sampled_from([1, 2]),
        min_remaining=st.sampled_from([0.0, 0.05]),
        seed=st.integers(0, 50),
    )
    def begin(
        self,
        ratio: float,
        floor: int,
        limit: LimitKind,
        places: int,
        consecutive: int,
        probes: int,
        min_remaining: float,
        seed: int,
    ) -> None:
        self.policy = DestinationPolicy(
            timeout=2.0,
            per_attempt_timeout=0.5,
            retry=RetryPolicy(
                max_attempts=4,
                backoff=BackoffPolicy(0.1, 0.4),
                retry_after=RetryAfterPolicy(max=3.0),
                min_remaining=min_remaining,
            ),
            budget=BudgetPolicy(ratio=ratio, window=1.0, burst=10.0, min_retries=floor),
            breaker=BreakerPolicy(consecutive_failures=consecutive, min_requests=consecutive, probes=probes),
            concurrency=ConcurrencyPolicy(limit, places, 1, places, max_waiting=5),
        )
        self.now = 50.0
        self.destination = destination_with(self.policy, SeededDice(seed), self.now)
        self.flying: list[Call] = []
        self.paused: list[Call] = []
        self.waiting: dict[RetryState, Call] = {}
        self.originals: list[float] = []
        self.retries: list[float] = []  # by when they were granted
        self.attempts: list[float] = []  # by when they left
        self.elders: list[Call] = []

    @rule(count=st.sampled_from([1, 3, 20]), retention=st.sampled_from([IDEMPOTENT, UNSAFE, 0.05, 0.3]))
    def requests_come(self, count: int, retention: float) -> None:
        for _ in range(count):
            call = Call(RetryState(self.destination, self.now, self.now + retention))
            self.admit(call)

    def admit(self, call: Call) -> None:
        self.heed(call, call.exchange.admit(self.now))

    def heed(self, call: Call, admission: Admission | Refusal) -> None:
        match admission:
            case Admission.GO:
                self.originals.append(self.now)
                self.attempts.append(self.now)
                self.flying.append(call)
                self.check_the_budget()
            case Admission.WAIT:
                self.waiting[call.exchange] = call
            case Refusal():
                call.exchange.finish(self.now, Result.REFUSED)

    @rule(ending=st.sampled_from(ENDINGS), which=st.sampled_from([0, -1]))
    def one_attempt_ends(self, ending: str, which: int) -> None:
        if self.flying:
            self.end(self.flying[which], ending)
            self.call_waiters()

    @rule(ending=st.sampled_from(ENDINGS))
    def all_attempts_end(self, ending: str) -> None:
        for call in self.flying[:]:
            self.end(call, ending)
        self.call_waiters()

    def end(self, call: Call, ending: str) -> None:
        """The current attempt ends, or is late."""
        exchange = call.exchange
        wish = 0.4 if ending.endswith("wish") else None
        if ending == "stale":
            call.sent = True
            if exchange.reconnect(self.now):
                assert self.now <= exchange.repeatable_until
                self.attempts.append(self.now)
                return
            ending = "reset"
        before = self.destination.budget.retries_in_window(self.now)
        if ending == "slow":
            verdict = exchange.on_late(self.now)
            call.sent = call.sent or isinstance(verdict, Retry)
            if isinstance(verdict, Retry):
                assert call not in self.elders
                self.elders.append(call)
            else:
                return
        elif ending[0].isdigit():
            call.sent = True
            verdict = exchange.on_status(self.now, int(ending[:3]), wish)
        elif ending == "timeout":
            self.time_is_up(call)
            return
        else:
            fault = {"connect": Fault.CONNECT_FAILURE}.get(ending) or Fault(ending)
            call.sent = call.sent or ending != "connect"
            verdict = exchange.on_fault(self.now, fault, sent=ending != "connect")
        self.obey(call, verdict, wish or 0.0, before)

    def end_elder(self, call: Call, ending: str) -> None:
        exchange = call.exchange
        wish = 0.4 if ending.endswith("wish") else None
        before = self.destination.budget.retries_in_window(self.now)
        self.elders.remove(call)
        if call in self.paused:
            before -= call.granted_at > self.now - self.policy.budget.window + ROUNDING
        call.sent = True
        if ending[0].isdigit():
            verdict = exchange.on_elder_status(self.now, int(ending[:3]), wish)
        else:
            verdict = exchange.on_elder_fault(self.now, Fault.RESET, sent=True)
        if isinstance(verdict, Await):
            assert call in self.flying
            return
        if call in self.paused:
            self.paused.remove(call)
            self.retries.remove(call.granted_at)
            self.flying.append(call)  # for `obey`: the retry is over, whatever it was
        self.obey(call, verdict, wish or 0.0, before)

    def time_is_up(self, call: Call) -> None:
        call.exchange.on_deadline(self.now, sent=True)
        self.over(call)

    def over(self, call: Call) -> None:
        for place in (self.flying, self.paused, self.elders):
            if call in place:
                place.remove(call)
                if place is self.paused:
                    self.retries.remove(call.granted_at)
        call.exchange.finish(self.now, Result.FAULT)

    def obey(self, call: Call, verdict: Verdict, wish: float, before: int) -> None:
        after = self.destination.budget.retries_in_window(self.now)
        if isinstance(verdict, Await):
            self.elders.remove(call)  # it is the current one again
            return
        if isinstance(verdict, Retry):
            assert after == before + 1
            self.flying.remove(call)
            self.paused.append(call)
            call.granted_at = self.now
            call.due = self.now + verdict.delay
            call.not_before = self.now + wish
            assert call.not_before <= call.due <= call.exchange.deadline
            self.retries.append(self.now)
            self.check_the_budget()
            return
        assert after == before
        self.over(call)

    def check_the_budget(self) -> None:
        """Of all attempts, of whatever kind, and of those that are granted and have not left yet."""
        since = self.now - self.policy.budget.window
        paying = since - LONGEST_WAIT_SECONDS  # a retry is paid for at the decision, and leaves that much later at most
        requests = sum(at > paying - ROUNDING for at in self.originals)
        pending = sum(call.granted_at > since + ROUNDING for call in self.paused)
        attempts = sum(at > since + ROUNDING for at in self.attempts) + pending
        floor = self.policy.budget.min_retries + FREE_RECONNECTS
        assert attempts <= (1 + self.policy.budget.ratio) * requests + floor + ROUNDING

    def call_waiters(self) -> None:
        while waiter := self.destination.next_waiter(self.now):
            assert isinstance(waiter, RetryState)
            self.admit(self.waiting.pop(waiter))
            assert waiter not in self.waiting

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.05, 0.1, 0.25, 1.0, 1.1]), late=st.sampled_from([0.0, 0.015, 0.5]))
    def time_passes(self, seconds: float, late: float) -> None:
        until = self.now + seconds
        for call in sorted(self.paused, key=lambda call: call.due):
            if call.due <= until:
                self.now = max(self.now, call.due + late)
                self.depart(call)
        self.now = max(self.now, until)
        for call in [call for call in self.flying + self.paused if call.exchange.deadline <= self.now]:
            self.time_is_up(call)
        for call in [call for call in self.waiting.values() if call.exchange.wake_at <= self.now]:
            del self.waiting[call.exchange]
            self.heed(call, call.exchange.wake(self.now))
            assert call.exchange not in self.waiting or call.exchange.wake_at > self.now
        self.call_waiters()

    def depart(self, call: Call) -> None:
        exchange = call.exchange
        self.paused.remove(call)
        before = self.destination.budget.retries_in_window(self.now)
        if isinstance(exchange.depart(self.now), Refusal):
            if call.granted_at > self.now - self.policy.budget.window + ROUNDING:
                assert self.destination.budget.retries_in_window(self.now) == before - 1
            self.retries.remove(call.granted_at)
            if call in self.elders:
                self.elders.remove(call)
                self.flying.append(call)
                assert exchange.elder is None
                return
            exchange.finish(self.now, Result.FAULT)
            return
        assert call.not_before <= self.now <= exchange.deadline
        assert not call.sent or self.now <= exchange.repeatable_until
        assert exchange.attempts <= self.policy.retry.max_attempts + 1  # and a reconnect
        self.attempts.append(self.now)
        self.flying.append(call)
        self.check_the_budget()

    @rule(ending=st.sampled_from(["200", "503", "429 wish", "reset"]), which=st.sampled_from([0, -1]))
    def an_elder_ends(self, ending: str, which: int) -> None:
        if self.elders:
            self.end_elder(self.elders[which], ending)
            self.call_waiters()

    @rule(late=st.sampled_from([0.0, 0.001, 0.015]), last=st.booleans())
    def time_passes_to_a_departure(self, late: float, last: bool) -> None:
        if self.paused:
            due = [call.due for call in self.paused]
            self.time_passes((max(due) if last else min(due)) - self.now, late)

    @rule()
    def time_passes_to_the_last_instant_for_a_retry(self) -> None:
        if self.flying:
            last = min(call.exchange.deadline for call in self.flying) - self.policy.retry.min_remaining
            self.time_passes(max(0.0, last - 0.01 - self.now), 0.0)

    @rule(first=st.sampled_from(ENDINGS), then=st.sampled_from(ENDINGS), retention=st.sampled_from([IDEMPOTENT, 0.3]))
    def a_wave_fails_and_its_retries_fail(self, first: str, then: str, retention: float) -> None:
        self.requests_come(3, retention)
        self.all_attempts_end(first)
        self.time_passes_to_a_departure(0.001, last=True)
        self.time_passes(0.25, 0.0)
        self.all_attempts_end(then)

    @rule()
    def the_breaker_lets_a_probe_through(self) -> None:
        self.time_passes(self.destination.breaker.retry_after(self.now), 0.0)
        self.requests_come(1, IDEMPOTENT)

    @rule(which=st.sampled_from([0, -1]))
    def a_caller_leaves(self, which: int) -> None:
        calls = self.flying + self.paused + list(self.waiting.values())
        if calls:
            self.leave(calls[which])
            self.call_waiters()

    def leave(self, call: Call) -> None:
        call.exchange.abandon(self.now)
        if call in self.elders:
            self.elders.remove(call)
        if call in self.flying:
            self.flying.remove(call)
        elif call in self.paused:
            self.paused.remove(call)
            self.retries.remove(call.granted_at)
        else:
            del self.waiting[call.exchange]

    @rule(draining=st.booleans())
    def the_host_drains(self, draining: bool) -> None:
        self.destination.draining = draining

    @invariant()
    def as_many_are_in_flight_as_the_host_sees(self) -> None:
        assert self.destination.limiter.awaited == len(self.flying) + len(self.elders)

    @invariant()
    def no_more_wait_than_the_host_sees(self) -> None:
        assert set(self.destination.limiter.waiting) <= set(self.waiting)

    @invariant()
    def half_open_has_no_more_in_flight_than_probes(self) -> None:
        breaker = self.destination.breaker
        if breaker.state(self.now) is BreakerState.HALF_OPEN:
            probing = sum(call.exchange._generation == breaker.generation for call in self.flying)
            assert probing <= self.policy.breaker.probes

    def teardown(self) -> None:
        if not hasattr(self, "destination"):
            return
        for call in self.flying + self.paused + list(self.waiting.values()):
            self.leave(call)
        self.destination.limiter.reclaim(self.now + 100_000.0)
        assert self.destination.limiter.in_flight == 0
        assert not self.destination.limiter.waiting
        tally = self.destination.tally
        assert sum(tally.retries.values()) == sum(tally.attempts[AttemptKind.RETRY])


Outage.TestCase.settings = settings(max_examples=250, stateful_step_count=50, deadline=None, derandomize=True)
test_no_outage_breaks_a_promise = Outage.TestCase
