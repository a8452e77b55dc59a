"""The circuit breaker: a destination that fails fast is left alone, and let back in step by step."""

import math
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

from sidecar.engine.policy import BreakerPolicy
from sidecar.engine.window import BUCKETS, Window

JOURNAL_LENGTH: Final = 256
"""Transitions remembered: more than a second can hold when `open` is at its least, 10 ms."""
_FIRST_SHARE: Final = 0.1  # of the places, at the start of the ramp


class BreakerState(Enum):
    """Closed: traffic flows. Open: none. Half-open: a few probes. Recovering: a growing share."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    RECOVERING = "recovering"


CLOSED: Final = BreakerState.CLOSED
OPEN: Final = BreakerState.OPEN
HALF_OPEN: Final = BreakerState.HALF_OPEN
RECOVERING: Final = BreakerState.RECOVERING


class Breaker:
    """One per destination. Counts answers and faults that come back quickly; slowness is the limiter's business.

    Each attempt carries the `generation` it was admitted in, and a result of an earlier generation is ignored: what
    began before a trip says nothing about the time after it. The time open is min(max_open, open * 2^(trips-1)) times
    U(0.8, 1.2), so it may exceed `max_open` by a fifth and pods do not probe together.
    """

    __slots__ = (
        "_attempts",
        "_failures",
        "_policy",
        "_probe_seconds",
        "_probes",
        "_rand",
        "_since",
        "_state",
        "_trips",
        "_until",
        "consecutive",
        "generation",
        "journal",
        "transitions",
    )

    def __init__(
        self, policy: BreakerPolicy, rand: Callable[[], float], now: float, probe_seconds: float = math.inf
    ) -> None:
        """`probe_seconds` is the longest that half-open waits for its probes, whatever they are waiting for."""
        self._policy = policy
        self._probe_seconds = probe_seconds
        self._rand = rand
        width = policy.window / BUCKETS
        self._attempts = Window(width, now)
        self._failures = Window(width, now)
        self.consecutive = 0
        """Failures in a row, whatever endpoint they came from."""
        self._state = CLOSED
        self._since = now
        self._until = now
        self._trips = 0
        self._probes = 0
        self.generation = 0
        self.transitions = dict.fromkeys(BreakerState, 0)
        """The number of times that each state was entered since the start."""
        self.journal: deque[tuple[float, BreakerState]] = deque(maxlen=JOURNAL_LENGTH)
        """The latest of these transitions, with their instants, the newest last."""

    def state(self, now: float) -> BreakerState:
        """The state at `now`. An open breaker stays open until the next admission is asked for."""
        if self._state is RECOVERING and now - self._since >= self._policy.ramp:
            self._close(now)
        elif self._state is HALF_OPEN and self._probes and now - self._since >= self._probe_seconds:
            self._trip(now)  # its probes are as good as failed
        return self._state

    def admit(self, now: float) -> bool:
        """Whether an attempt may be made now. In half-open a True takes one of the probes."""
        if self._state is CLOSED:
            return True
        state = self.state(now)
        if state is OPEN and now >= self._until:
            self._enter(HALF_OPEN, now)
            self._probes = 0
            state = HALF_OPEN
        if state is HALF_OPEN:
            if self._probes >= self._policy.probes:
                return False
            self._probes += 1
            return True
        return state is not OPEN

    def refuses(self, now: float) -> bool:
        """Whether `admit` would surely say no; changes nothing."""
        state = self.state(now)
        return (state is OPEN and now < self._until) or (state is HALF_OPEN and self._probes >= self._policy.probes)

    def share(self, now: float) -> float:
        """The part of the in-flight limit that may be used: less than 1 while recovering."""
        if self.state(now) is not RECOVERING:
            return 1.0
        return _FIRST_SHARE + (1 - _FIRST_SHARE) * (now - self._since) / self._policy.ramp

    def held_until(self, since: float, now: float) -> float | None:
        """Until when an original that wants to leave since `since` and is refused now may be held; None: no longer.

        The next probe, which it may become, or the end of its time, while a probe is under way that may end well.
        """
        latest = since + self._policy.hold
        if self._state is OPEN:
            return self._until if self._until < latest else None
        return latest if now < latest else None

    def retry_after(self, now: float) -> float:
        """Seconds until the next probe may be made; 0 unless open."""
        return max(0.0, self._until - now) if self._state is OPEN else 0.0

    def success(self, generation: int, now: float) -> None:
        """An attempt was answered, and not by a failure."""
        if generation != self.generation:
            return
        if self._state is HALF_OPEN:
            self._clear(now)
            if self._policy.ramp > 0:
                self._enter(RECOVERING, now)
            else:
                self._close(now)
            return
        self.consecutive = 0
        attempts = self._attempts
        if now >= attempts.edge:
            attempts.advance(now)
        attempts.newest += 1

    def failure(self, generation: int, now: float) -> None:
        """An attempt failed fast."""
        if generation != self.generation:
            return
        if self._state is HALF_OPEN:
            self._trip(now)
            return
        policy = self._policy
        self._attempts.add(now)
        self._failures.add(now)
        self.consecutive += 1
        attempts = self._attempts.total
        if self.consecutive >= policy.consecutive_failures or (
            attempts >= policy.min_requests and self._failures.total >= policy.failure_ratio * attempts
        ):
            self._trip(now)

    def inconclusive(self, generation: int, now: float) -> None:
        """An attempt was throttled, slow, timed out or abandoned: no failure, but no proof of health by a probe."""
        if generation == self.generation and self._state is HALF_OPEN:
            self._trip(now)

    def release_probe(self, generation: int) -> None:
        """An attempt is no probe any more, and neither failed nor answered: another one may be."""
        if generation == self.generation and self._state is HALF_OPEN and self._probes:
            self._probes -= 1

    def adopt(self, policy: BreakerPolicy, now: float, probe_seconds: float = math.inf) -> None:
        """Another policy from now on; state and counts stay."""
        self._probe_seconds = probe_seconds
        if policy.window != self._policy.window:
            width = policy.window / BUCKETS
            self._attempts = self._attempts.resized(width, now)
            self._failures = self._failures.resized(width, now)
        self._policy = policy

    def _trip(self, now: float) -> None:
        policy = self._policy
        self._trips += 1
        seconds = min(policy.max_open, policy.open * 2.0 ** min(self._trips - 1, 30))
        self._until = now + seconds * (0.8 + 0.4 * self._rand())
        self._clear(now)
        self._enter(OPEN, now)

    def _close(self, now: float) -> None:
        """Back to normal. Not a new generation: the attempts of the ramp still speak for the present."""
        self._trips = 0
        self._clear(now)
        self._state = CLOSED
        self._since = now
        self.transitions[CLOSED] += 1
        self.journal.append((now, CLOSED))

    def _enter(self, state: BreakerState, now: float) -> None:
        self._state = state
        self._since = now
        self.generation += 1
        self.transitions[state] += 1
        self.journal.append((now, state))

    def _clear(self, now: float) -> None:
        for window in (self._attempts, self._failures):
            window.advance(now)
            window.clear()
        self.consecutive = 0
