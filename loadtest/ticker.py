"""A kernel timer that ticks at a fixed rate. Event loop timers are whole milliseconds, too coarse for an open loop."""

import ctypes
import os
import struct

CLOCK_MONOTONIC = 1
NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
TICKS = struct.Struct("=Q")


class _Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class _Interval(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("first", _Timespec)]


class Ticker:
    """timerfd_create(2), which Python has only since 3.13.

    `rate` is in ticks per second. Raises OSError where the kernel has no timerfd.
    """

    def __init__(self, rate: float) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._checked(self._libc.timerfd_create(CLOCK_MONOTONIC, NONBLOCK_CLOEXEC))
        whole, part = divmod(round(1e9 / rate), 1_000_000_000)
        interval = _Interval(_Timespec(whole, part), _Timespec(whole, part))
        self._checked(self._libc.timerfd_settime(self.fd, 0, ctypes.byref(interval), None))

    def read(self) -> int:
        """Ticks since the last read."""
        try:
            (ticks,) = TICKS.unpack(os.read(self.fd, TICKS.size))
        except BlockingIOError:
            return 0
        return int(ticks)

    def close(self) -> None:
        os.close(self.fd)

    @staticmethod
    def _checked(returned: int) -> int:
        if returned < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return returned
