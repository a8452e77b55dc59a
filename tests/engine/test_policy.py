import math
from collections.abc import Callable

import pytest

from sidecar.engine.outcome import Fault
from sidecar.engine.policy import (
    IDEMPOTENT_METHODS,
    BackoffPolicy,
    BreakerPolicy,
    BudgetPolicy,
    ConcurrencyPolicy,
    DestinationPolicy,
    InvalidPolicy,
    RetryAfterPolicy,
    RetryPolicy,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("construct", "field"),
    [
        (lambda: BackoffPolicy(base=0.0009), "retry.backoff.base"),
        (lambda: BackoffPolicy(base=NAN), "retry.backoff.base"),
        (lambda: BackoffPolicy(base=1.0, max=0.5), "retry.backoff.max"),
        (lambda: RetryAfterPolicy(max=-1.0), "retry.retry_after.max"),
        (lambda: RetryPolicy(max_attempts=0), "retry.max_attempts"),
        (lambda: RetryPolicy(max_attempts=11), "retry.max_attempts"),
        (lambda: RetryPolicy(statuses=frozenset({200})), "retry.statuses"),
        (lambda: RetryPolicy(statuses=frozenset({600})), "retry.statuses"),
        (lambda: RetryPolicy(statuses=frozenset({503, 400})), "retry.statuses"),
        (lambda: RetryPolicy(statuses=frozenset({409})), "retry.statuses"),
        (lambda: RetryPolicy(faults=frozenset({Fault.PROTOCOL})), "retry.faults"),
        (lambda: RetryPolicy(methods=frozenset({"GET", "POST"})), "retry.methods"),
        (lambda: RetryPolicy(min_remaining=-0.1), "retry.min_remaining"),
        (lambda: RetryPolicy(replay_buffer_bytes=-1), "retry.replay_buffer"),
        (lambda: BudgetPolicy(ratio=-0.1), "budget.ratio"),
        (lambda: BudgetPolicy(ratio=1.01), "budget.ratio"),
        (lambda: BudgetPolicy(ratio=NAN), "budget.ratio"),
        (lambda: BudgetPolicy(window=0.0), "budget.window"),
        (lambda: BudgetPolicy(window=301.0), "budget.window"),
        (lambda: BudgetPolicy(burst=0.5), "budget.burst"),
        (lambda: BudgetPolicy(burst=11.0), "budget.burst"),
        (lambda: BudgetPolicy(min_retries=-1), "budget.min_retries"),
        (lambda: BudgetPolicy(min_retries=101), "budget.min_retries"),
        (lambda: BreakerPolicy(failure_ratio=0.0), "breaker.failure_ratio"),
        (lambda: BreakerPolicy(failure_ratio=1.1), "breaker.failure_ratio"),
        (lambda: BreakerPolicy(window=0.0), "breaker.window"),
        (lambda: BreakerPolicy(min_requests=0), "breaker.min_requests"),
        (lambda: BreakerPolicy(consecutive_failures=0), "breaker.consecutive_failures"),
        (lambda: BreakerPolicy(open=0.0), "breaker.open"),
        (lambda: BreakerPolicy(open=2.0, max_open=1.0), "breaker.max_open"),
        (lambda: BreakerPolicy(probes=0), "breaker.probes"),
        (lambda: BreakerPolicy(ramp=-0.1), "breaker.ramp"),
        (lambda: BreakerPolicy(statuses=frozenset({429})), "breaker.statuses"),
        (lambda: ConcurrencyPolicy(min_in_flight=0), "concurrency.min_in_flight"),
        (lambda: ConcurrencyPolicy(min_in_flight=9, max_in_flight=8), "concurrency.max_in_flight"),
        (lambda: ConcurrencyPolicy(initial=0), "concurrency.initial"),
        (lambda: ConcurrencyPolicy(max_waiting=-1), "concurrency.max_waiting"),
        (lambda: DestinationPolicy(timeout=0.0), "timeout"),
        (lambda: DestinationPolicy(timeout=3601.0), "timeout"),
        (lambda: DestinationPolicy(timeout=NAN), "timeout"),
        (lambda: DestinationPolicy(per_attempt_timeout=0.0), "per_attempt_timeout"),
        (lambda: DestinationPolicy(idle_timeout=0.0), "idle_timeout"),
        (lambda: DestinationPolicy(key_retention=-1.0), "idempotency_key.retention"),
    ],
)
def test_a_value_that_no_engine_may_run_on_is_refused_by_its_field(construct: Callable[[], object], field: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        construct()

    assert refused.value.field == field


@pytest.mark.parametrize(
    "construct",
    [
        lambda: BackoffPolicy(base=0.001, max=0.001),
        lambda: RetryAfterPolicy(max=0.0),
        lambda: RetryPolicy(max_attempts=1, statuses=frozenset({408, 599}), min_remaining=0.0, replay_buffer_bytes=0),
        lambda: RetryPolicy(max_attempts=10, methods=frozenset(), faults=frozenset()),
        lambda: BudgetPolicy(ratio=0.0, window=1.0, burst=1.0, min_retries=0),
        lambda: BudgetPolicy(ratio=1.0, window=300.0, burst=10.0, min_retries=100),
        lambda: BreakerPolicy(failure_ratio=1.0, open=0.01, max_open=0.01, ramp=0.0, statuses=frozenset()),
        lambda: ConcurrencyPolicy(initial=1, min_in_flight=1, max_in_flight=1, max_waiting=0),
        lambda: DestinationPolicy(timeout=3600.0, per_attempt_timeout=3600.0, idle_timeout=86400.0),
    ],
)
def test_a_value_at_its_bound_is_good(construct: Callable[[], object]) -> None:
    assert construct() == construct()


def test_the_message_names_field_rule_and_value() -> None:
    with pytest.raises(InvalidPolicy) as refused:
        RetryPolicy(max_attempts=11)

    assert str(refused.value) == "retry.max_attempts: must be between 1 and 10, got 11"
    assert refused.value.rule == "must be between 1 and 10"
    assert refused.value.value == 11


def test_a_policy_cannot_be_changed() -> None:
    policy = DestinationPolicy()

    with pytest.raises(AttributeError):
        policy.timeout = 1.0  # type: ignore[misc]


def test_the_defaults_are_those_that_are_documented() -> None:
    policy = DestinationPolicy()

    assert policy.retry.statuses == {429, 503}
    assert policy.retry.min_remaining == 0.05
    assert policy.retry.replay_buffer_bytes == 64 * 1024
    assert policy.budget == BudgetPolicy(ratio=0.1, window=10.0, burst=2.0, min_retries=3)
    assert (policy.breaker.open, policy.breaker.max_open) == (0.25, 0.25)
    assert (policy.breaker.ramp, policy.breaker.hold) == (0.1, 0.6)
    assert policy.concurrency == ConcurrencyPolicy(initial=20, min_in_flight=4, max_in_flight=4096, max_waiting=4096)
    assert (policy.timeout, policy.per_attempt_timeout, policy.retry.window) == (60.0, 2.0, 10.0)
    assert not policy.honours_keys


@pytest.mark.parametrize("method", ["POST", "PATCH", "CONNECT"])
def test_a_method_that_may_do_something_twice_is_not_idempotent(method: str) -> None:
    assert method not in IDEMPOTENT_METHODS


@pytest.mark.parametrize(
    ("method", "keyed", "honours", "seconds"),
    [
        (b"GET", False, False, math.inf),
        (b"DELETE", True, False, math.inf),
        (b"POST", False, True, -math.inf),
        (b"POST", True, False, -math.inf),
        (b"POST", True, True, 60.0),
        (b"get", True, False, -math.inf),
    ],
)
def test_what_may_have_been_executed_is_sent_again_only_where_that_is_safe(
    method: bytes, *, keyed: bool, honours: bool, seconds: float
) -> None:
    policy = DestinationPolicy(honours_keys=honours, key_retention=60.0)

    assert policy.repeatable_for(method, keyed=keyed) == seconds
