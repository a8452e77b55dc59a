"""The lag of the event loop in seconds: everything the sidecar does waits that long."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

PROBE_SECONDS: Final = 0.1  # a stall shorter than this may fall between two probes
REMEMBERED_PROBES: Final = 150


class LoopLag:
    """Asks the loop to call back every tenth of a second and notes by how much it was late.

    `clock` must be read anew at each call (`time.monotonic`): uvloop's own `time()` stands still while a callback runs,
    which is just what is to be seen.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._lags: deque[float] = deque([0.0], maxlen=REMEMBERED_PROBES)
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def seconds(self) -> float:
        """The longest lag of the last 15 seconds, so that a scrape every 15 seconds misses none that was probed."""
        return max(self._lags)

    def start(self) -> None:
        """Begin to probe."""
        self._due = self._clock() + PROBE_SECONDS
        self._timer = self._loop.call_later(PROBE_SECONDS, self._probe)

    def stop(self) -> None:
        """Probe no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _probe(self) -> None:
        self._lags.append(max(0.0, self._clock() - self._due))
        self.start()
