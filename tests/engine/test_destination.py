import math

import pytest

from sidecar.engine.breaker import BreakerState
from sidecar.engine.destination import OUTLIER_FAILURES, Destination
from sidecar.engine.orphans import RECLAIM_INTERVAL_SECONDS
from sidecar.engine.policy import BreakerPolicy, BudgetPolicy, ConcurrencyPolicy, DestinationPolicy, LimitKind
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Refusal

NARROW = DestinationPolicy(concurrency=ConcurrencyPolicy(LimitKind.FIXED, min_in_flight=1, max_in_flight=1))


def middle() -> float:
    return 0.5


def destination_with(policy: DestinationPolicy | None = None) -> Destination:
    return Destination("payments", policy or DestinationPolicy(), middle, 0.0)


def request(destination: Destination, now: float = 0.0) -> RetryState:
    exchange = RetryState(destination, now, math.inf)
    exchange.admit(now)
    return exchange


def retry(exchange: RetryState, now: float) -> None:
    exchange.on_status(now, 503, None)
    assert exchange.depart(now + 0.1) is Admission.GO


def opened(destination: Destination, now: float = 0.0) -> None:
    for _ in range(destination.policy.breaker.consecutive_failures):
        destination.breaker.failure(destination.breaker.generation, now)


def test_without_traffic_nothing_is_amplified() -> None:
    destination = destination_with()

    assert destination.amplification(0.0) == 1.0
    assert destination.retry_ratio(0.0) == 0.0


def test_amplification_is_attempts_per_request() -> None:
    destination = destination_with()
    exchanges = [request(destination) for _ in range(4)]

    retry(exchanges[0], 0.1)

    assert destination.amplification(0.2) == 1.25
    assert destination.retry_ratio(0.2) == 0.25


def test_amplification_is_that_of_the_last_ten_seconds() -> None:
    destination = destination_with()
    retry(request(destination), 0.1)

    request(destination, 15.0)

    assert destination.amplification(15.0) == 1.0


def test_a_reconnect_is_an_attempt_and_no_retry() -> None:
    destination = destination_with()

    request(destination).reconnect(0.1)

    assert destination.amplification(0.1) == 2.0
    assert destination.retry_ratio(0.1) == 0.0


def test_nobody_has_a_turn_where_nobody_waits() -> None:
    assert destination_with().next_waiter(0.0) is None


def test_a_waiter_has_its_turn_when_there_is_room() -> None:
    destination = destination_with(NARROW)
    first = request(destination)
    waiter = request(destination)

    before = destination.next_waiter(0.1)
    first.on_status(0.2, 200, None)
    after = destination.next_waiter(0.2)

    assert before is None
    assert after is waiter


def test_waiters_are_let_go_when_they_cannot_be_held_until_the_next_probe() -> None:
    destination = destination_with(NARROW)
    request(destination)
    waiter = request(destination, 0.0)

    opened(destination, 0.3)  # until 0.55, and 0.6 s is held
    held = destination.next_waiter(0.3)
    probe = request(destination, 0.55)
    probe.on_status(0.55, 503, None)  # until 1.05
    let_go = destination.next_waiter(0.55)

    assert held is None
    assert let_go is waiter
    assert waiter.admit(0.55) is Refusal.BREAKER_OPEN


def test_a_waiter_has_its_turn_as_the_probe() -> None:
    destination = destination_with(NARROW)
    request(destination)
    waiter = request(destination)
    opened(destination, 0.3)

    assert destination.next_waiter(0.6) is waiter
    assert waiter.admit(0.6) is Admission.GO


def test_an_endpoint_is_singled_out_when_others_answered_while_it_failed() -> None:
    destination = destination_with()
    breaker = destination.breaker

    outlier = []
    for row in range(1, OUTLIER_FAILURES + 1):
        breaker.success(0, 0.0)
        breaker.failure(0, 0.0)
        outlier.append(destination.is_outlier(row))

    assert outlier == [False] * (OUTLIER_FAILURES - 1) + [True]


def test_no_endpoint_is_singled_out_where_all_fail() -> None:
    destination = destination_with()

    rows = []
    for row in range(1, 10):
        destination.breaker.failure(0, 0.0)
        rows.append(destination.is_outlier(row))
    opened(destination)

    assert not any(rows)
    assert not destination.is_outlier(50)


def test_a_recovery_makes_room_step_by_step() -> None:
    destination = destination_with(DestinationPolicy(breaker=BreakerPolicy(ramp=0.5)))  # 20 places
    opened(destination)
    probe = request(destination, 1.0)
    probe.on_status(1.0, 200, None)

    room = []
    for destination.limiter.in_flight, now in ((1, 1.0), (2, 1.0), (10, 1.25), (11, 1.25), (19, 1.5)):
        room.append(destination.has_capacity(now))

    assert room == [True, False, True, False, True]


@pytest.mark.parametrize(("status", "failing"), [(200, False), (404, False), (500, True), (503, True), (429, True)])
def test_what_is_not_simply_good_is_retried_or_a_failure_to_the_breaker(status: int, failing: bool) -> None:
    destination = destination_with(DestinationPolicy(breaker=BreakerPolicy(statuses=frozenset({500}))))

    assert (status in destination.failing) is failing


def test_a_new_policy_reaches_every_part_and_keeps_the_state() -> None:
    destination = destination_with()
    retry(request(destination), 0.1)
    opened(destination)
    policy = DestinationPolicy(
        budget=BudgetPolicy(ratio=0.0, min_retries=0),
        breaker=BreakerPolicy(statuses=frozenset({500})),
        concurrency=ConcurrencyPolicy(LimitKind.FIXED, max_in_flight=7),
    )

    destination.adopt(policy, 0.2)

    assert destination.policy is policy
    assert destination.failing == {429, 500, 503}
    assert destination.limiter.limit == 7
    assert destination.limiter.in_flight == 1
    assert destination.budget.balance(5.0) == 0.0
    assert destination.budget.retries_in_window(0.2) == 1
    assert destination.breaker.state(0.2) is BreakerState.OPEN


def test_the_oldest_who_waits_is_to_look_again_when_an_orphaned_slot_comes_back() -> None:
    destination = destination_with()
    destination.limiter.limit = 1.0
    left = request(destination)
    waiting = [request(destination, now) for now in (0.5, 1.0)]
    left.abandon(3.0)

    assert destination.next_waiter(3.0) is None
    assert destination.next_to_rearm() is waiting[0]
    assert waiting[0].wake_at == 3.0 + RECLAIM_INTERVAL_SECONDS
    assert destination.next_to_rearm() is None
    assert destination.next_waiter(waiting[0].wake_at - 0.001) is None
    assert destination.next_waiter(waiting[0].wake_at + 0.001) is waiting[0]
