"""The fleet without governance, for comparison: the same retries, with null objects for budget, breaker and limit."""

from typing import Final

from msgspec.structs import replace

from sidecar.engine.budget import RetryBudget
from sidecar.engine.lateness import Lateness, LateRetryAllowance
from sidecar.engine.policy import BreakerPolicy, ConcurrencyPolicy, DestinationPolicy, LimitKind

NEVER: Final = 1_000_000_000
PATIENCE_SECONDS: Final = 120.0
"""For how long a caller without a sidecar waits, unless its scenario says otherwise."""


class EndlessBudget(RetryBudget):
    """Pays for every retry: a budget that no policy may ask for, since no document can switch the budget off."""

    def withdraw(self, now: float) -> bool:
        """Always true."""
        del now
        return True

    def deposit(self, now: float) -> None:
        """Nothing is counted."""

    def refund(self, withdrawn_at: float) -> None:
        """Nothing is counted."""

    def depart(self, withdrawn_at: float, now: float) -> None:
        """Nothing is counted."""


def ungoverned(policy: DestinationPolicy) -> DestinationPolicy:
    """The policy with a breaker that never trips and a limit that is never reached; its budget is made endless too."""
    return replace(
        policy,
        breaker=BreakerPolicy(min_requests=NEVER, consecutive_failures=NEVER),
        concurrency=ConcurrencyPolicy(LimitKind.FIXED, initial=NEVER, max_in_flight=NEVER),
    )


def direct(policy: DestinationPolicy) -> DestinationPolicy:
    """As if there were no sidecar: one attempt, however long its answer takes, and nothing that holds it back."""
    bare = ungoverned(policy)
    return replace(
        bare,
        timeout=PATIENCE_SECONDS,
        per_attempt_timeout=PATIENCE_SECONDS,
        retry=replace(bare.retry, max_attempts=1),
    )


class FixedLateness(Lateness):
    """A client that never learns that answers take longer than its own time-out."""

    def learn(self, seconds: float, now: float) -> None:
        """Nothing."""


class EndlessAllowance(LateRetryAllowance):
    """A client that tries again whatever takes longer than its own time-out."""

    def withdraw(self, requests: int, *, alone: bool) -> bool:
        """Always true."""
        del requests, alone
        return True
