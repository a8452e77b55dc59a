"""The usual latency of a destination, and what is slow, brisk and silent by that measure."""

import math
from collections import deque
from typing import Final

SLOW_FACTOR: Final = 4.0
"""Times the usual latency. By Markov's inequality at most a quarter of all answers take over four times their mean,
whatever mix of cheap and dear requests they are: eight in a row are 2e-5, sixteen 2e-10."""
BRISK_FACTOR: Final = 3.0
JITTER_SECONDS: Final = 0.005
"""Below a few milliseconds the scheduler's jitter is many times the service time."""
SILENCE_SECONDS: Final = 0.25
"""Without any good answer: the least that is a stall."""
PATIENCE_SHARE: Final = 1 / 12
"""Of the time for which callers wait: latency, or silence, below this share of it is no threat to any of them."""
IMPATIENCE_SECONDS: Final = 10.0
"""Callers that wait for less are lost by a long silence, and so is the work that was sent in it: hold back at once. The
longer they wait beyond that, the longer a destination may take, and the less a silence says."""
SILENCE_SHARE: Final = 1 / 4
"""Of the time beyond IMPATIENCE_SECONDS: a silence that may as well be the latency of a slow destination."""
PERIOD_SECONDS: Final = 2.0
PERIODS: Final = 4
MIN_SAMPLES: Final = 10
"""A period ends after PERIOD_SECONDS, and not before it has so many answers: a quiet destination has a usual
latency."""
MAX_PERIOD_SECONDS: Final = 30.0
MAX_GROWTH: Final = 2.0
"""Times, per MAX_PERIOD_SECONDS: how fast the usual latency may rise while a limit is in force. Otherwise a limit would
learn from the congestion that it is there to end that it is usual."""


class UsualLatency:
    """The lower median of the mean latencies of the last periods, and of the mean numbers in flight (Little's law).

    Means, because the fastest kind of request must not make the others look slow. All in seconds.
    """

    __slots__ = (
        "_ceiling",
        "_ceiling_until",
        "_patience",
        "_periods",
        "_unknown_silence",
        "began",
        "brisk",
        "count",
        "ends",
        "in_flight",
        "rate",
        "seconds",
        "silence",
        "slow",
        "total",
    )

    def __init__(self, patience: float, unknown_silence: float, now: float) -> None:
        """`patience` is how long callers wait, `unknown_silence` what is a stall before anything is known."""
        self._periods: deque[tuple[float, float, float]] = deque(maxlen=PERIODS)  # latency, in flight, rate
        self._patience = patience
        self._unknown_silence = unknown_silence
        self._ceiling = self._ceiling_until = math.inf
        self.began = now
        self.ends = now + PERIOD_SECONDS
        self.total = 0.0
        """Latencies of this period, added up by the limit, which saves a call; `count` of them."""
        self.count = 0
        self.seconds = math.inf
        self.in_flight = 0.0
        self.rate = 0.0
        """Good answers per second; 0.0 before anything is known."""
        self.brisk = self.slow = math.inf
        """Above `slow` an answer is slow; nothing is before the usual is known."""
        self.silence = max(unknown_silence, patience - IMPATIENCE_SECONDS)

    @property
    def known(self) -> bool:
        """Whether there were enough answers yet."""
        return self.seconds < math.inf

    def end_period(self, now: float, *, limited: bool) -> int:
        """`ends` has come: how many answers this period had, 0 if it goes on. `limited`: a limit is in force."""
        if self.count < MIN_SAMPLES and now - self.began < MAX_PERIOD_SECONDS:
            self.ends = now + PERIOD_SECONDS
            return 0
        if not limited:
            self._ceiling = math.inf
        elif self._ceiling == math.inf:
            self._ceiling = MAX_GROWTH * self.seconds if self.known else math.inf
            self._ceiling_until = now + MAX_PERIOD_SECONDS
        elif now >= self._ceiling_until:
            self._ceiling *= MAX_GROWTH
            self._ceiling_until = now + MAX_PERIOD_SECONDS
        if self.count:
            # Each by itself: a period that a hang made longer has the usual latency and next to nothing in flight.
            duration = now - self.began
            # A limit in force lets less through than is asked for.
            rate = self.rate if limited else self.count / duration
            self._periods.append((self.total / self.count, self.total / duration, rate))
            latencies, in_flight, rates = zip(*self._periods, strict=True)
            self.in_flight = _lower_median(in_flight)
            self.rate = sorted(rates)[len(rates) // 2]
            self._set(min(self._ceiling, _lower_median(latencies)))
        answered = self.count
        self._begin(now)
        return answered

    def relearn(self, seconds: float, in_flight: float, now: float) -> None:
        """The latency has changed, and it was proven that this is no congestion."""
        self._periods.clear()
        self._ceiling = math.inf
        self.in_flight = in_flight
        self._set(seconds)
        self._begin(now)

    def be_patient(self, patience: float) -> None:
        """Callers wait for `patience` seconds, as far as is known now."""
        if patience != self._patience:
            self._patience = patience
            if self.known:
                self._set(self.seconds)
            else:
                self.silence = max(self._unknown_silence, patience - IMPATIENCE_SECONDS)

    def _begin(self, now: float) -> None:
        self.total = 0.0
        self.count = 0
        self.began = now
        self.ends = now + PERIOD_SECONDS

    def _set(self, seconds: float) -> None:
        harmless = PATIENCE_SHARE * self._patience
        self.seconds = seconds
        self.brisk = max(BRISK_FACTOR * seconds + JITTER_SECONDS, harmless)
        self.slow = max(SLOW_FACTOR * seconds + JITTER_SECONDS, harmless)
        self.silence = max(SILENCE_SECONDS, SLOW_FACTOR * seconds, _harmless_silence(self._patience))


def _lower_median(values: tuple[float, ...]) -> float:
    return sorted(values)[(len(values) - 1) // 2]


def _harmless_silence(patience: float) -> float:
    return SILENCE_SHARE * max(0.0, patience - IMPATIENCE_SECONDS)
