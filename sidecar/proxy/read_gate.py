"""Back-pressure: a side that is asked to hold back by several others holds back until the last lets go."""

import fcntl
import struct
import termios
from asyncio import Transport


def unsent_bytes(transport: Transport) -> int:
    """The bytes that were written to `transport` and that its peer has not taken: ours, and the kernel's.

    Both, for the kernel's may be megabytes: a client that reads them slowly takes nothing of ours for a long time.
    """
    sock = transport.get_extra_info("socket")
    try:
        (unsent,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    except OSError:
        unsent = 0
    return transport.get_write_buffer_size() + int(unsent)


class ReadGate:
    """Reading from one transport, held while any of a few named reasons holds."""

    __slots__ = ("held", "transport")

    AHEAD = 1
    """Bytes beyond the current message have come."""
    PEER = 2
    """The side that consumes what is read can not take more."""
    BUFFER = 4
    """The receiver of the bytes is not known yet, and enough of them are kept."""
    HELD = 8
    """Bytes that were read are kept until it is known whether they are to be passed on."""

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
