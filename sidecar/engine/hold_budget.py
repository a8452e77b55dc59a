"""The hold budget: how many originals may be held back on suspicion alone.

A hang and a destination that has just become slower look alike until the first answer. To hold callers back is right in
the first case and harm in the second, and while nothing is known of how long callers wait there is no telling. So the
right to do it is earned: a small share of the originals that were answered while nothing was held. No larger share of
all callers waits for false alarms, and a destination that has been well for a quarter of an hour is protected from its
first hang. It is an error budget (Beyer et al., "Site Reliability Engineering", 2016, chapter 3); the figures are in
docs/storms.md.
"""

from typing import Final

SHARE: Final = 0.005
"""Of the originals answered: half of what may happen to a 99th percentile."""
MAX_SECONDS: Final = 5.0
"""Times the usual rate, that can be saved up: one silence for as long as most callers wait."""
LEAST_SECONDS: Final = 4.0
"""Times the usual rate, before any of it is spent: to hold callers for a moment and then send them into the hang saves
none of them."""


class HoldBudget:
    """Earned by originals that were answered without a wait, spent by those that are made to wait.

    An episode that is under way may overdraw it, by as much again as can be saved up: what has piled up in a silence
    has to be let go at some pace.
    """

    __slots__ = ("_balance", "_most", "is_funded")

    def __init__(self) -> None:
        self._balance = 0.0
        self._most = 0.0
        self.is_funded = False
        """Whether there is enough to begin with, or something left of that."""

    @property
    def is_exhausted(self) -> bool:
        """Whether as much is overdrawn as may be."""
        return self._balance < -self._most

    def earn(self, answered: int, rate: float) -> None:
        """So many were answered, of `rate` per second usually."""
        self._most = MAX_SECONDS * rate
        self._balance = min(self._balance + SHARE * answered, self._most)
        if self._balance >= max(1.0, LEAST_SECONDS * rate):
            self.is_funded = True

    def spend(self) -> None:
        """One is held back."""
        self._balance -= 1.0
        if self._balance < 1.0:
            self.is_funded = False

    def clear(self) -> None:
        """The suspicion was unfounded: what is left is forfeited."""
        self._balance = min(self._balance, 0.0)
        self.is_funded = False
