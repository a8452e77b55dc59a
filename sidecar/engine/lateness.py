"""When an attempt is late: after a learned tail of latencies, so that what is slow and healthy costs no retries."""

from typing import Final

MARGIN: Final = 1.25
"""Times the longest late answer: what is slower than that by less is no news."""
MEMORY_SECONDS: Final = 60.0
"""A late answer is remembered for at least so long, and for at most twice as long."""


class Lateness:
    """Learned from late attempts that were answered well after all. One per destination, or per route of it.

    The maximum over two halves of a sliding window: exact enough, O(1), and nothing is stored per answer.
    """

    __slots__ = ("_before", "_longest", "_until", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        """An attempt is not late before; the policy's `per_attempt_timeout` holds if it is longer."""
        self._longest = self._before = 0.0
        self._until = 0.0

    def learn(self, seconds: float, now: float) -> None:
        """A late attempt was answered well, `seconds` after it began."""
        if now >= self._until:
            self._before = self._longest if now < self._until + MEMORY_SECONDS else 0.0
            self._longest = 0.0
            self._until = now + MEMORY_SECONDS
        self._longest = max(self._longest, seconds)
        self.seconds = MARGIN * max(self._longest, self._before)
