"""Back-pressure: a side that is asked to hold back by several others holds back until the last lets go."""

from asyncio import Transport


class Valve:
    """Reading from one transport, held while any of a few named reasons holds."""

    __slots__ = ("_reasons", "transport")

    AHEAD = 1
    """Bytes beyond the current message have come."""
    PEER = 2
    """The side that consumes what is read can not take more."""
    BUFFER = 4
    """There is nobody to pass the bytes to yet, and enough of them are kept."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._reasons = 0

    def hold(self, reason: int) -> None:
        """Stop reading."""
        if not self._reasons and not self.transport.is_closing():
            self.transport.pause_reading()
        self._reasons |= reason

    def release(self, reason: int) -> None:
        """Read again, unless there is another reason not to."""
        if self._reasons & reason:
            self._reasons &= ~reason
            if not self._reasons and not self.transport.is_closing():
                self.transport.resume_reading()

    @property
    def held(self) -> int:
        """The reasons in force; zero when reading."""
        return self._reasons
