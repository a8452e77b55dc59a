"""Destinations with back-offs of a millisecond, so that real waits are none."""

from collections.abc import Callable

import pytest

from sidecar.client import CallObserver, GovernedDestination, Retries
from sidecar.engine.policy import (
    BackoffPolicy,
    BreakerPolicy,
    BudgetPolicy,
    ConcurrencyPolicy,
    DestinationPolicy,
    LimitKind,
    RetryPolicy,
)

QUICK = BackoffPolicy(base=0.001, max=0.001)


def quick_policy(**changes: object) -> DestinationPolicy:
    given: dict[str, object] = {
        "timeout": 5.0,
        "retry": RetryPolicy(backoff=QUICK),
        "breaker": BreakerPolicy(consecutive_failures=10_000, min_requests=10_000),
        "concurrency": ConcurrencyPolicy(limit=LimitKind.FIXED, initial=1024),
        **changes,
    }
    return DestinationPolicy(**given)  # type: ignore[arg-type]


@pytest.fixture
def payments() -> GovernedDestination:
    """One destination, with the budget of the baseline."""
    return GovernedDestination("payments", quick_policy(), lambda: 0.5)


@pytest.fixture
def honouring() -> GovernedDestination:
    """One destination that honours idempotency keys for an hour."""
    return GovernedDestination("payments", quick_policy(honours_keys=True, key_retention=3600.0), lambda: 0.5)


@pytest.fixture
def retries_of() -> Callable[..., Retries]:
    """All hosts of `payments.test` to one destination."""

    def made(observer: CallObserver | None = None, **changes: object) -> Retries:
        policy = quick_policy(**changes)
        return Retries({"payments": policy}, {"payments.test": "payments"}, policy, observer=observer, rand=lambda: 0.5)

    return made


GENEROUS = BudgetPolicy(ratio=1.0, burst=10.0, min_retries=100)
"""So that a first request may be tried again twice at once."""
