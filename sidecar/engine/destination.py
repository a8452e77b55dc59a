"""What all exchanges with one destination share: its policy, budget, breaker, limit and tally."""

from collections.abc import Callable

from sidecar.engine.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from sidecar.engine.budget import RetryBudget
from sidecar.engine.concurrency import ConcurrencyLimit
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.tally import Tally
from sidecar.engine.wait_queue import Waiter
from sidecar.engine.window import Window

_PROBING = frozenset({OPEN, HALF_OPEN})  # of which the next to be admitted is a probe, unless it is refused
OUTLIER_FAILURES = 5
"""Fast failures in a row at one endpoint while others answer: where 1 % of all answers are failures, once in 10^10."""
_TRAFFIC_BUCKET = 1.0  # seconds; ten of them are the window of `amplification`


class Destination:
    """Everything that is known of one destination. Survives every change of policy.

    `rand` is uniform in [0, 1). `draining` is the host's: while it is set, no retry is made.
    """

    __slots__ = (
        "attempts_lately",
        "breaker",
        "budget",
        "draining",
        "failing",
        "limiter",
        "name",
        "policy",
        "rand",
        "requests_lately",
        "tally",
    )

    def __init__(self, name: str, policy: DestinationPolicy, rand: Callable[[], float], now: float) -> None:
        self.name = name
        self.policy = policy
        self.rand = rand
        self.budget = RetryBudget(policy.budget, now)
        self.breaker = Breaker(policy.breaker, rand, now)
        self.limiter = ConcurrencyLimit(policy.concurrency, now)
        self.tally = Tally()
        self.draining = False
        self.requests_lately = Window(_TRAFFIC_BUCKET, now)
        self.attempts_lately = Window(_TRAFFIC_BUCKET, now)
        self.failing = _failing(policy)
        """Statuses that are not simply good: worth another attempt, or a failure to the breaker."""

    def adopt(self, policy: DestinationPolicy, now: float) -> None:
        """Another policy for exchanges that begin from now on; all state is kept."""
        self.policy = policy
        self.failing = _failing(policy)
        self.budget.adopt(policy.budget, now)
        self.breaker.adopt(policy.breaker, now)
        self.limiter.adopt(policy.concurrency, now)

    def has_capacity(self, now: float) -> bool:
        """Whether one more may be in flight: under the limit, or the part of it that a recovery leaves."""
        limiter = self.limiter
        if limiter.orphaned:
            limiter.reclaim(now)
        return limiter.in_flight < max(1, int(limiter.limit * self.breaker.share(now)))

    def next_waiter(self, now: float) -> Waiter | None:
        """The waiting original whose turn it is: there is room for it, or it is not to be held any longer.

        It is out of the line then; whoever called must let it `admit` again now, which does not let it wait again.
        """
        line = self.limiter.waiting
        if not line:
            return None
        breaker = self.breaker
        if not breaker.refuses(now):
            return line.take(now) if breaker.state(now) in _PROBING or self.has_capacity(now) else None
        oldest = line[0]
        if breaker.held_until(oldest.waiting_since, now) is not None:
            return None
        line.remove_waiter(oldest)
        return oldest

    def next_to_rearm(self) -> Waiter | None:
        """The oldest of those who wait, if a orphaned place comes back before its `wake_at`, now that instant.

        Nothing else would tell of it. To be asked when `next_waiter` has none any more.
        """
        limiter = self.limiter
        if not (limiter.orphaned and limiter.waiting):
            return None
        oldest = limiter.waiting[0]
        reclaims_at = limiter.reclaims_at
        if reclaims_at >= oldest.wake_at:
            return None
        oldest.wake_at = reclaims_at
        return oldest

    def is_outlier(self, row: int) -> bool:
        """Whether `row` fast failures in a row at one endpoint are its own: somebody else's answers came in between.

        Where the whole destination fails its own row is at least as long, and its breaker's business.
        """
        return row >= OUTLIER_FAILURES and row > self.breaker.consecutive and self.breaker._state is CLOSED  # noqa: SLF001

    def amplification(self, now: float) -> float:
        """Attempts per request over the last ten seconds; 1.0 when there was no request."""
        self.requests_lately.advance(now)
        self.attempts_lately.advance(now)
        requests = self.requests_lately.total
        return self.attempts_lately.total / requests if requests else 1.0

    def retry_ratio(self, now: float) -> float:
        """Retries per request over the budget's window; 0.0 when there was no request."""
        requests = self.budget.requests_in_window(now)
        return self.budget.retries_in_window(now) / requests if requests else 0.0


def _failing(policy: DestinationPolicy) -> frozenset[int]:
    return policy.retry.statuses | policy.breaker.statuses
