"""Choice of the address for an attempt: power of two choices, with outlier ejection."""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from sidecar.engine.destination import Destination

EJECTION_SECONDS: Final = 1.0
"""Of the first ejection; doubled for each further one in a row."""
MAX_EJECTION_SECONDS: Final = 30.0
"""Of an address that no connection can be made to."""
MAX_ANSWERING_EJECTION_SECONDS: Final = 5.0
"""Of an address that takes connections: a probe of it costs one request that fails fast and is retried elsewhere."""
EJECTING_TIMEOUTS: Final = 2
"""Late attempts in a row that eject an address."""
_MAX_DOUBLINGS: Final = 10


class HealthRecord:
    """One address: the attempts in flight there, its failures in a row, and until when it is ejected."""

    __slots__ = ("_ejections", "answered_at", "consecutive_failures", "ejected_until", "in_flight", "late")

    def __init__(self) -> None:
        self._ejections = 0
        self.in_flight = 0
        self.ejected_until = 0.0
        """Monotonic seconds; before then other addresses are preferred."""
        self.consecutive_failures = 0
        """Attempts in a row that failed fast here."""
        self.late = 0
        """Late attempts here since the last good answer to an attempt of that time."""
        self.answered_at = 0.0
        """When the last good answer came: the host may store it instead of calling `record_success` (30 ns)."""

    def record_connect_failure(self, now: float) -> None:
        """No connection could be made: eject, for twice as long each time in a row."""
        self._eject(now, MAX_EJECTION_SECONDS)

    def record_connection(self) -> None:
        """A connection was made. This is no evidence about answers."""
        if not (self.consecutive_failures or self.late):
            self.reset()

    def record_failure(self, destination: Destination, now: float) -> None:
        """An attempt failed fast or was cut off: eject if only this address of the destination fails."""
        self.consecutive_failures += 1
        if destination.is_outlier(self.consecutive_failures):
            self._eject(now, MAX_ANSWERING_EJECTION_SECONDS)

    def record_timeout(self, began: float, now: float) -> None:
        """An attempt that began at `began` is late: eject after EJECTING_TIMEOUTS in a row without an answer since.

        An address that is slow and answers is never ejected for it: others may be no quicker.
        """
        if self.answered_at >= began:
            self.late = 0
            return
        self.late += 1
        if self.late >= EJECTING_TIMEOUTS:
            self._eject(now, MAX_ANSWERING_EJECTION_SECONDS)

    def reset(self) -> None:
        """End the ejection because every address is ejected, which says nothing about this one."""
        self.ejected_until = 0.0
        self._ejections = 0

    def record_success(self, now: float) -> None:
        """An attempt was answered well."""
        self.answered_at = now
        self.consecutive_failures = 0
        self.late = 0
        self.reset()

    def _eject(self, now: float, max_seconds: float) -> None:
        if self.ejected_until > now:
            return  # attempts that fail together are one piece of evidence
        self.ejected_until = now + min(max_seconds, EJECTION_SECONDS * 2**self._ejections)
        self._ejections = min(self._ejections + 1, _MAX_DOUBLINGS)


S = TypeVar("S", bound=HealthRecord)


class P2CBalancer(Generic[S]):
    """Power of two choices over the addresses of one destination (at least one).

    Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 1996.
    """

    __slots__ = ("_rand", "addresses")

    def __init__(self, addresses: list[S], rand: Callable[[], float]) -> None:
        self.addresses = addresses
        self._rand = rand

    def choose(self, tried: Sequence[object], now: float) -> S:
        """The one of two random addresses with fewer attempts in flight; ejected and `tried` ones if unavoidable."""
        addresses = self.addresses
        count = len(addresses)
        if count == 1:
            return addresses[0]
        if tried:
            return self._draw(self._preferred(tried, now))
        first = int(self._rand() * count)
        second = int(self._rand() * (count - 1))
        if second >= first:
            second += 1
        one, other = addresses[first], addresses[second]
        if one.ejected_until > now or other.ejected_until > now:
            return self._draw(self._preferred(tried, now))
        return one if one.in_flight <= other.in_flight else other

    def _preferred(self, tried: Sequence[object], now: float) -> list[S]:
        """The first non-empty set of: not ejected and not tried; not ejected and not tried last; not ejected; all."""
        available = [address for address in self.addresses if address.ejected_until <= now]
        if not available:
            # Otherwise the first one to recover would carry all the load until the next ejection ends.
            for address in self.addresses:
                address.reset()
            available = self.addresses
        untried = [address for address in available if address not in tried]
        return untried or [address for address in available if address is not tried[-1]] or available

    def _draw(self, addresses: Sequence[S]) -> S:
        count = len(addresses)
        if count == 1:
            return addresses[0]
        first = int(self._rand() * count)
        second = int(self._rand() * (count - 1))
        if second >= first:
            second += 1
        one, other = addresses[first], addresses[second]
        return one if one.in_flight <= other.in_flight else other
