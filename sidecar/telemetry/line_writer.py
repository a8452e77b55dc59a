"""Writes lines to a file descriptor without ever making the caller wait: a full pipe costs lines, not the proxy.

The descriptor is not made non-blocking, because that flag belongs to all that share it (the parent's terminal,
the other container process). A thread of its own waits instead.
"""

import os
import select
import threading
from collections import deque

MAX_LINE_BYTES = 64 * 1024
LINGER_SECONDS = 0.05
"""Seconds: lines within them are one write. Waking for each line, the log cost a storm 8 % more cpu; so it costs 1 %
(`python -m loadtest logs`)."""


class LineWriter:
    """A bounded buffer in front of `fd`, emptied by a daemon thread in as few writes as there is data for.

    At most `capacity_bytes` are held, those being written included; what does not fit is dropped and counted, and so
    is what the descriptor refuses (a reader that has gone). `fd` is not closed.
    """

    def __init__(self, fd: int, capacity_bytes: int = 1024 * 1024) -> None:
        self.dropped = 0
        self._fd = fd
        self._capacity_bytes = capacity_bytes
        self._lines: deque[bytes] = deque()
        self._held_bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._drain, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> bool:
        """Take one line, without its line feed. False, and counted, when there is no room for it or after `close`."""
        size = len(line) + 1
        with self._changed:
            if self._closed or size > MAX_LINE_BYTES or self._held_bytes + size > self._capacity_bytes:
                self.dropped += 1
                return False
            self._held_bytes += size
            self._lines.append(line)
            if len(self._lines) == 1:
                self._changed.notify()
        return True

    def close(self, timeout: float) -> bool:
        """Take no more, and wait at most `timeout` seconds for what is held to be written. True if all of it was."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _drain(self) -> None:
        while True:
            with self._changed:
                while not self._lines:
                    if self._closed:
                        return
                    self._changed.wait()
                if not self._closed:
                    self._changed.wait(LINGER_SECONDS)  # ended by `close` alone
                batch = list(self._lines)
                self._lines.clear()
            block = b"\n".join(batch) + b"\n"
            written = self._write_all(block)
            with self._changed:
                self._held_bytes -= len(block)
                if written < len(block):
                    self.dropped += block.count(b"\n", written)

    def _write_all(self, block: bytes) -> int:
        view = memoryview(block)
        written = 0
        while written < len(block):
            try:
                written += os.write(self._fd, view[written:])
            except BlockingIOError:  # another process made the shared descriptor non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
            except OSError:
                break
        return written
