"""What is compared with: nothing holds back."""

from sidecar.engine.policy import DestinationPolicy
from sidecar.simulator.ungoverned import NEVER, PATIENCE_SECONDS, EndlessBudget, direct, ungoverned


def test_an_endless_budget_pays_for_every_retry_without_any_request() -> None:
    budget = EndlessBudget(DestinationPolicy().budget, 0.0)

    assert all(budget.withdraw(0.0) for _ in range(1000))
    assert budget.exhausted == 0


def test_only_what_governs_is_taken_away() -> None:
    policy = DestinationPolicy(timeout=3.0)

    bare = ungoverned(policy)

    assert (bare.timeout, bare.retry) == (policy.timeout, policy.retry)
    assert bare.concurrency.max_in_flight == bare.breaker.consecutive_failures == NEVER


def test_without_a_sidecar_there_is_one_attempt_and_nobody_cuts_it() -> None:
    policy = DestinationPolicy(timeout=3.0, per_attempt_timeout=1.0)

    alone = direct(policy)

    assert alone.retry.max_attempts == 1
    assert alone.timeout == alone.per_attempt_timeout == PATIENCE_SECONDS
    assert alone.concurrency.max_in_flight == NEVER
