"""When an attempt is late, and whether its retry is worth making: what is slow and healthy costs next to no retries."""

from typing import Final

MARGIN: Final = 1.25
"""Times the longest late answer: what is slower than that by less is no news."""
MEMORY_SECONDS: Final = 60.0
"""A late answer is remembered for at least so long, and for at most twice as long."""


RETRY_SHARE: Final = 0.01
"""Late retries per request, where they help no request: what it costs to go on looking whether they do."""
MAX_RETRIES: Final = 10.0
"""Late retries that may be saved up."""
WIN_REWARD: Final = 2.0
"""Late retries earned by one that was answered before its elder: its own and one more, so that where attempts really
get lost all of them are soon tried again, as far as the retry budget goes."""


class LateRetryAllowance:
    """Late retries have to earn their keep. One per destination.

    A retry beside an attempt that is slow because its request takes long is as slow, and costs the destination the same
    work twice. A retry beside an attempt that got lost saves a request. Which of the two it was is known only
    afterwards, so a few are made in any case, and as many more as have helped.
    """

    __slots__ = ("_balance", "_counted")

    def __init__(self) -> None:
        self._balance = 1.0
        self._counted = 0

    def withdraw(self, requests: int, *, alone: bool) -> bool:
        """Pay for one late retry. False, and nothing spent, if it is not worth it.

        `requests`: so many have there been so far. `alone`: no other attempt is awaited. That counts while there were
        few: where others are under way as well, it is more likely that they take long.
        """
        self._balance = min(self._balance + RETRY_SHARE * (requests - self._counted), MAX_RETRIES)
        self._counted = requests
        if self._balance < 1.0 or (requests * RETRY_SHARE < 1.0 and not alone):
            return False
        self._balance -= 1.0
        return True

    def won(self) -> None:
        """A late retry was answered well before its elder."""
        self._balance = min(self._balance + WIN_REWARD, MAX_RETRIES)

    def refund(self) -> None:
        """A late retry was refused for another reason, or replaces its elder instead of going beside it."""
        self._balance = min(self._balance + 1.0, MAX_RETRIES)


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
