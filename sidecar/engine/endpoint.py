"""Which endpoint an attempt goes to, and which ones are left alone for a while."""

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from sidecar.engine.destination import Destination

_EJECTION: Final = 1.0
_MAX_EJECTION: Final = 30.0
_MAX_EJECTION_FOR_ANSWERS: Final = 5.0
"""Shorter: one request that fails fast, and is tried elsewhere, is all that it costs to look again."""
_SILENT: Final = 2
"""Attempts in a row that are not answered in time, until an endpoint is left alone."""


class Standing:
    """What is known of one address: how much is in flight there, and whether it is left alone for a while."""

    __slots__ = ("_faults", "down_until", "in_flight", "row")

    def __init__(self) -> None:
        self._faults = 0
        self.in_flight = 0
        self.down_until = 0.0
        """Monotonic seconds; before then others are preferred."""
        self.row = 0
        """Attempts in a row that came to a fast failure here."""

    def failed(self, now: float) -> None:
        """A connection could not be made: leave it alone, twice as long each time in a row."""
        self._eject(now, _MAX_EJECTION)

    def connected(self) -> None:
        """Connections can be made again. That alone says nothing of its answers."""
        if not self.row:
            self.answered()

    def fell_short(self, destination: Destination, now: float) -> None:
        """An attempt was answered by a failure, or cut off: leave it alone if it is the only one to do so."""
        self.row += 1
        if destination.singles_out(self.row):
            self._eject(now, _MAX_EJECTION_FOR_ANSWERS)

    def kept_silent(self, now: float) -> None:
        """An attempt was not answered in time: leave it alone when that was not the only one in a row."""
        self.row += 1
        if self.row >= _SILENT:
            self._eject(now, _MAX_EJECTION_FOR_ANSWERS)

    def forgive(self) -> None:
        """None of them is up: what was held against this one says no more than what is held against all."""
        self.down_until = 0.0
        self._faults = 0

    def answered(self) -> None:
        """It answers as it should."""
        self.row = 0
        self._faults = 0
        self.down_until = 0.0

    def _eject(self, now: float, most: float) -> None:
        if self.down_until > now:
            return  # of many that failed together the first has told
        self.down_until = now + min(most, _EJECTION * 2**self._faults)
        self._faults = min(self._faults + 1, 10)


S = TypeVar("S", bound=Standing)


class Choice(Generic[S]):
    """All addresses there are, to choose from. There is always one."""

    __slots__ = ("_rand", "stations")

    def __init__(self, stations: list[S], rand: Callable[[], float]) -> None:
        self.stations = stations
        self._rand = rand

    def choose(self, tried: Sequence[object], now: float) -> S:
        """The less busy of two drawn at random; if avoidable none that was `tried`, nor one that is down."""
        stations = self.stations
        count = len(stations)
        if count == 1:
            return stations[0]
        if tried:
            return self._draw(self._likely(tried, now))
        first = int(self._rand() * count)
        second = int(self._rand() * (count - 1))
        if second >= first:
            second += 1
        one, other = stations[first], stations[second]
        if one.down_until > now or other.down_until > now:
            return self._draw(self._likely(tried, now))
        return one if one.in_flight <= other.in_flight else other

    def _likely(self, tried: Sequence[object], now: float) -> list[S]:
        """The best there are: up and not tried yet; up and not just tried; up. Where none is up all are from now on."""
        up = [station for station in self.stations if station.down_until <= now]
        if not up:
            # Else the first that is well again would have to do for all, until the last of the others is let in.
            for station in self.stations:
                station.forgive()
            up = self.stations
        untried = [station for station in up if station not in tried]
        return untried or [station for station in up if station is not tried[-1]] or up

    def _draw(self, stations: Sequence[S]) -> S:
        count = len(stations)
        if count == 1:
            return stations[0]
        first = int(self._rand() * count)
        second = int(self._rand() * (count - 1))
        if second >= first:
            second += 1
        one, other = stations[first], stations[second]
        return one if one.in_flight <= other.in_flight else other
