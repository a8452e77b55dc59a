"""The state that all exchanges with one destination share: its policy, budget, breaker, limit and tally."""

from collections.abc import Callable
from typing import Final

from sidecar.engine.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from sidecar.engine.budget import RetryBudget
from sidecar.engine.concurrency import ConcurrencyLimit
from sidecar.engine.lateness import Lateness, LateRetryAllowance
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.tally import Tally
from sidecar.engine.wait_queue import Waiter
from sidecar.engine.window import Window

UNLISTED: Final = "unlisted"
"""The name of all hosts that no document names: in metrics, refusals and documents, where it is reserved."""

_NEVER: Final = float("inf")
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
        "late_retries",
        "lateness",
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
        self.breaker = Breaker(policy.breaker, rand, now, policy.per_attempt_timeout)
        self.limiter = ConcurrencyLimit(
            policy.concurrency, now, timeout=policy.timeout, unknown_silence=policy.per_attempt_timeout
        )
        self.lateness = Lateness()
        self.late_retries = LateRetryAllowance()
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
        self.breaker.adopt(policy.breaker, now, policy.per_attempt_timeout)
        self.limiter.adopt(policy.concurrency, now, timeout=policy.timeout)

    def has_capacity(self, now: float) -> bool:
        """Whether one more may be in flight: under the limit, or the part of it that a recovery leaves."""
        limiter = self.limiter
        share = self.breaker.share(now)
        if share >= 1.0:
            return not limiter.crowded(now)
        if limiter.orphaned:
            limiter.reclaim(now)
        return limiter.in_flight < max(1, int(min(limiter.limit, limiter.usual_room) * share))

    def next_waiter(self, now: float) -> Waiter | None:
        """The waiting original whose turn it is: there is a slot for it, or it is not to be held any longer.

        It is out of the queue then; the caller must let it `admit` again now, which does not let it wait again.
        """
        limiter = self.limiter
        queue = limiter.waiting
        if not queue:
            return None
        breaker = self.breaker
        limiter.looks_at = _NEVER
        if not breaker.refuses(now):
            if breaker.state(now) in _PROBING:
                return queue.take(now)
            if limiter.paced(now) or not self.has_capacity(now):
                limiter.look_again(now)
                return None
            limiter.released_waiter(now)
            return queue.take(now)
        oldest = queue[0]
        if breaker.held_until(oldest.waiting_since, now) is not None:
            return None
        queue.remove_waiter(oldest)
        return oldest

    def next_to_rearm(self) -> Waiter | None:
        """The oldest waiter if it may get a slot without an answer and before its `wake_at`, which is that instant now.

        To be asked when `next_waiter` has none any more: nothing else would tell of it.
        """
        limiter = self.limiter
        if not limiter.waiting:
            return None
        oldest = limiter.waiting[0]
        looks_at = limiter.looks_at
        if looks_at >= oldest.wake_at:
            return None
        oldest.wake_at = looks_at
        return oldest

    def is_outlier(self, row: int) -> bool:
        """Whether `row` fast failures in a row at one endpoint are its own: answers of other endpoints came in between.

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
