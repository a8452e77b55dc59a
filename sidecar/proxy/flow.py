"""Back-pressure: a side that is asked to hold back by several others holds back until the last lets go."""

from asyncio import Transport


class Valve:
    """Reading from one transport, held while any of a few named reasons holds."""

    __slots__ = ("held", "transport")

    AHEAD = 1
    """Bytes beyond the current message have come."""
    PEER = 2
    """The side that consumes what is read can not take more."""
    BUFFER = 4
    """There is nobody to pass the bytes to yet, and enough of them are kept."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.held = 0
        """The reasons in force; zero when reading."""

    def hold(self, reason: int) -> None:
        """Stop reading."""
        if not self.held and not self.transport.is_closing():
            self.transport.pause_reading()
        self.held |= reason

    def release(self, reason: int) -> None:
        """Read again, unless there is another reason not to."""
        if self.held & reason:
            self.held &= ~reason
            if not self.held and not self.transport.is_closing():
                self.transport.resume_reading()
