"""The retry budget: retries are paid for by requests, so load cannot multiply."""

from typing import Final

from sidecar.engine.policy import BudgetPolicy
from sidecar.engine.window import BUCKETS, Window

_EPSILON = 1e-9  # 0.1 * 30 is a little less than 3
FREE_RECONNECTS: Final = 2
"""Per window, whatever else was spent: a pooled connection that turns out to be closed now and then is no load."""


class RetryBudget:
    """Tokens earned by first attempts and spent by retries, over one sliding window.

    One per destination. `min_retries` per window are free, so a quiet destination can be retried. A retry is granted if

        retries + 1 <= ratio * requests + min_retries
        retries in the newest bucket + 1 <= burst * ratio * requests / 10 + 1

    where requests are counted over ten buckets and retries over those and the one before. The newest bucket is never
    full, so ten buckets hold a little less than the window and eleven a little more: whichever sliding window of that
    length, at whatever instant it starts, it holds at least these requests and at most these retries.

    A retry counts from the decision until it leaves, and from then on as if it had been decided at that instant. What
    the dependency sees is departures, and those that are told to come back at the same time would else meet in one
    window though they were paid in two. (One held back for longer than the window does not count in between.)

    Reconnects, which replace a stale connection, are free while there are at most FREE_RECONNECTS in a window. Beyond
    that they are paid by the first line, without the second. So in any window, whatever kind the attempts are of,

        attempts <= requests * (1 + ratio) + min_retries + FREE_RECONNECTS
    """

    __slots__ = ("_granted", "_policy", "_reconnects", "_retries", "exhausted", "requests")

    def __init__(self, policy: BudgetPolicy, now: float) -> None:
        self._policy = policy
        width = policy.window / BUCKETS
        self.requests = Window(width, now)
        """Original requests that were admitted: the deposits."""
        self._retries = Window(width, now, BUCKETS + 1)
        self._granted = Window(width, now, 1)
        self._reconnects = Window(width, now, BUCKETS + 1)
        self.exhausted = 0
        """Withdrawals that were refused since the start."""

    def deposit(self, now: float) -> None:
        """One original request was admitted."""
        self.requests.add(now)

    def withdraw(self, now: float) -> bool:
        """Pay for one retry. False, and nothing spent, if the budget is short."""
        if self.balance(now) + _EPSILON < 1:
            self.exhausted += 1
            return False
        self._retries.add(now)
        self._granted.add(now)
        return True

    def withdraw_reconnect(self, now: float) -> bool:
        """Pay for one reconnect, which leaves at once. False, and nothing spent, if the budget is short."""
        self._reconnects.advance(now)
        if self._reconnects.total < FREE_RECONNECTS:
            self._reconnects.add(now)
            return True
        policy = self._policy
        left = policy.ratio * self.requests_in_window(now) + policy.min_retries - self.retries_in_window(now)
        if left + _EPSILON < 1:
            self.exhausted += 1
            return False
        self._retries.add(now)
        return True

    def refund(self, withdrawn_at: float) -> None:
        """The retry that was paid for at `withdrawn_at` did not leave."""
        self._retries.take_back(withdrawn_at)
        self._granted.take_back(withdrawn_at)

    def depart(self, withdrawn_at: float, now: float) -> None:
        """The retry that was paid for at `withdrawn_at` leaves."""
        self._retries.take_back(withdrawn_at)
        self._retries.add(now)

    def balance(self, now: float) -> float:
        """The number of retries that could be paid for now, by both lines; never negative."""
        policy = self._policy
        requests = self.requests_in_window(now)
        retries = self.retries_in_window(now)
        earned = policy.ratio * requests
        overall = earned + policy.min_retries - retries
        self._granted.advance(now)
        newest = policy.burst * earned / BUCKETS + 1 - self._granted.newest
        return max(0.0, min(overall, newest))

    def requests_in_window(self, now: float) -> int:
        """Deposits that still count."""
        self.requests.advance(now)
        return self.requests.total

    def retries_in_window(self, now: float) -> int:
        """Retries that were granted or have left and still count."""
        self._retries.advance(now)
        return self._retries.total

    def adopt(self, policy: BudgetPolicy, now: float) -> None:
        """Another policy from now on; what was earned and spent stays.

        A shorter window begins with its share of the requests and with all retries.
        """
        if policy.window != self._policy.window:
            width = policy.window / BUCKETS
            self.requests = self.requests.resized(width, now, min(1.0, policy.window / self._policy.window))
            self._retries = self._retries.resized(width, now)
            self._granted = self._granted.resized(width, now)
            self._reconnects = self._reconnects.resized(width, now)
        self._policy = policy


class NestedBudget(RetryBudget):
    """A budget inside another: a retry is paid for from both, and neither can pay for what the other does not have.

    Only retries are counted in `whole` from here; its requests are counted by the caller, once for all its parts.
    """

    __slots__ = ("_whole",)

    def __init__(self, policy: BudgetPolicy, now: float, whole: RetryBudget) -> None:
        super().__init__(policy, now)
        self._whole = whole

    def withdraw(self, now: float) -> bool:
        """Pay for one retry from both. False, and nothing spent, if either is short."""
        return super().withdraw(now) and self._whole.withdraw(now)

    def withdraw_reconnect(self, now: float) -> bool:
        """Pay for one reconnect from the whole, which has the free ones once for all its parts."""
        return self._whole.withdraw_reconnect(now)

    def refund(self, withdrawn_at: float) -> None:
        """The retry that was paid for at `withdrawn_at` did not leave."""
        super().refund(withdrawn_at)
        self._whole.refund(withdrawn_at)

    def depart(self, withdrawn_at: float, now: float) -> None:
        """The retry that was paid for at `withdrawn_at` leaves."""
        super().depart(withdrawn_at, now)
        self._whole.depart(withdrawn_at, now)

    def balance(self, now: float) -> float:
        """The number of retries that both could pay for now."""
        return min(super().balance(now), self._whole.balance(now))
