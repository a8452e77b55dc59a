"""The decisions of a candidate policy beside the policy in force: judged by the same engine, never carried out.

A shadow follows an exchange for as long as both policies agree. At the first decision that differs it is counted and
let go: the outcome of the other decision is not known.
"""

from collections.abc import Callable
from copy import deepcopy
from enum import Enum
from typing import Final

from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Fault, Result
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Deliver, Refusal, Retry, Verdict
from sidecar.engine.window import Window

HOUR_SECONDS: Final = 3600.0
HOURS: Final = 24
_SMOOTHING: Final = 0.05
"""Of the share of attempts that are answered well: the last twenty or so count."""


class Difference(Enum):
    """The decision of the other policy, where it differs; the words are those of metrics."""

    RETRY = "retry"
    """Tried again, where it was not."""
    NO_RETRY = "no_retry"
    """Not tried again, where it was."""
    REASON = "reason"
    """Not tried again either, for another reason."""
    ADMIT = "admit"
    """Sent the original, where it was refused."""
    HOLD = "hold"
    """Not sent the original, or not yet, where it was."""
    TIMEOUT = "timeout"
    """Given up before the answer came."""


class Shadow:
    """One destination as another policy would see it: fed with what happens to the real one, and with its state so far.

    Its originals never wait for a place: those that would have to are a difference.
    """

    __slots__ = ("_share", "_unsaved", "began", "compared", "destination", "differences", "lately", "refused", "saved")

    def __init__(self, real: Destination, policy: DestinationPolicy, rand: Callable[[], float], now: float) -> None:
        self.destination = Destination(real.name, real.policy, rand, now)
        self.destination.budget = deepcopy(real.budget)
        self.destination.breaker = deepcopy(real.breaker)
        self.destination.adopt(policy, now)
        self.differences = dict.fromkeys(Difference, 0)
        self.compared = 0
        """Decisions that were compared."""
        self.began = now
        self.refused = 0
        """Originals that would have been refused for good; those that would have waited are a difference only."""
        self.saved = 0
        """Retries that would have been answered well, an estimate: each counts as the share of attempts that was."""
        self.lately = {word: Window(HOUR_SECONDS, now, HOURS) for word in ("retry", "saved", "refused", "timeout")}
        """The same counts of the last day."""
        self._share = 1.0
        self._unsaved = 0.0

    def attempt_ended(self, *, well: bool) -> None:
        """An attempt of the real destination came to something."""
        self._share += _SMOOTHING * (well - self._share)

    def count(self, difference: Difference, now: float, *, saves: bool = True) -> None:
        """A decision would have been another. `saves` False: it would have been a retry for a request answered well."""
        self.differences[difference] += 1
        if difference is Difference.TIMEOUT:
            self.lately["timeout"].add(now)
        if difference is Difference.RETRY:
            self.lately["retry"].add(now)
            self._unsaved += self._share if saves else 0.0
            if self._unsaved >= 1.0:
                self._unsaved -= 1.0
                self.saved += 1
                self.lately["saved"].add(now)

    def refuse(self, now: float) -> None:
        """An original would have been refused for good."""
        self.refused += 1
        self.lately["refused"].add(now)

    def last_day(self, now: float) -> dict[str, int]:
        """Counts of its decisions in the last day, by the words of `lately`."""
        for window in self.lately.values():
            window.advance(now)
        return {word: window.total for word, window in self.lately.items()}


class ShadowExchange:
    """The shadow of one exchange. Each method is told what was decided; times are the real exchange's."""

    __slots__ = ("_follows", "_real", "_shadow", "_twin")

    def __init__(
        self,
        shadow: Shadow,
        real: RetryState,
        now: float,
        repeatable_until: float,
        policy: DestinationPolicy | None = None,
    ) -> None:
        """`policy` is of the route that the request would be on; None for the destination's."""
        self._shadow = shadow
        self._real = real
        self._twin = RetryState(shadow.destination, now, repeatable_until)
        if policy is not None:
            self._twin.policy = policy
        self._follows = True

    def admitted(self, now: float, decided: Admission | Refusal) -> None:
        """The original was sent, or refused for good; while it waits nothing is decided."""
        if not self._follows or decided is Admission.WAIT:
            return
        self._shadow.compared += 1
        self._align()
        told = self._twin.admit(now)
        if isinstance(decided, Refusal):
            self._let_go(now, Difference.ADMIT if told is Admission.GO else None)
        elif told is not Admission.GO:
            if told is not Admission.WAIT:
                self._shadow.refuse(now)
            self._let_go(now, Difference.HOLD)

    def answered(self, now: float, status: int, retry_after: float | None, decided: Verdict) -> None:
        """A response head came."""
        well = status not in self._shadow.destination.failing
        self._shadow.attempt_ended(well=well)
        if self._goes_beside(now):
            self._twin.on_elder_status(now, status, retry_after)
            self._let_go(now, Difference.RETRY, saves=not well)
        elif self._begin(now):
            self._compare(now, self._twin.on_status(now, status, retry_after), decided)

    def faulted(self, now: float, fault: Fault, decided: Verdict, *, sent: bool) -> None:
        """No answer came."""
        self._shadow.attempt_ended(well=False)
        if self._goes_beside(now):
            self._twin.on_elder_fault(now, fault, sent=sent)
            self._let_go(now, Difference.RETRY)
        elif self._begin(now):
            self._compare(now, self._twin.on_fault(now, fault, sent=sent), decided)

    def elder_answered(self, now: float, status: int, retry_after: float | None, decided: Verdict) -> None:
        """A response head came of the late attempt that goes on beside its retry."""
        self._shadow.attempt_ended(well=status not in self._shadow.destination.failing)
        if self._begin(now) and self._twin.elder is not None:
            self._compare(now, self._twin.on_elder_status(now, status, retry_after), decided)

    def elder_faulted(self, now: float, fault: Fault, decided: Verdict, *, sent: bool) -> None:
        """No answer came of it."""
        self._shadow.attempt_ended(well=False)
        if self._begin(now) and self._twin.elder is not None:
            self._compare(now, self._twin.on_elder_fault(now, fault, sent=sent), decided)

    def timed_out(self, now: float, decided: Verdict, *, sent: bool) -> None:
        """The deadline has passed: all attempts are over."""
        self._shadow.attempt_ended(well=False)
        if self._goes_beside(now):
            self._let_go(now, Difference.RETRY)
        elif self._begin(now):
            self._compare(now, self._twin.on_deadline(now, sent=sent), decided)

    def slow(self, now: float, decided: Verdict) -> None:
        """The attempt has lasted longer than the policy in force is patient."""
        if self._goes_beside(now):
            self._let_go(now, Difference.RETRY)
        if not self._begin(now):
            return
        patient = now < self._twin.late_at
        told = Deliver(None) if patient else self._twin.on_late(now)
        if isinstance(told, Retry) or isinstance(decided, Retry):
            self._compare(now, told, decided)
        elif not patient and told != decided:
            self._shadow.count(Difference.REASON, now)

    def departed(self, now: float, decided: Admission | Refusal) -> None:
        """The back-off is over: the retry has left, or was refused after all."""
        if not self._follows:
            return
        self._shadow.compared += 1
        self._align()
        told = self._twin.depart(now)
        if told is decided:
            if told is not Admission.GO:
                self._let_go(now, None)
        elif told is Admission.GO:
            self._let_go(now, Difference.RETRY)
        else:
            self._let_go(now, Difference.NO_RETRY if decided is Admission.GO else Difference.REASON)

    def reconnected(self, now: float) -> None:
        """The request was sent again on a fresh connection."""
        if self._follows:
            self._align()
            if not self._twin.reconnect(now):
                self._let_go(now, Difference.NO_RETRY)

    def over(self, now: float) -> None:
        """The exchange is over, or its caller has left."""
        if self._follows:
            self._let_go(now, None)

    def _begin(self, now: float) -> bool:
        """Whether there is something left to compare: the other policy may have given up before `now`."""
        if not self._follows:
            return False
        self._shadow.compared += 1
        self._align()
        twin = self._twin
        if now > twin.deadline:
            self._let_go(now, Difference.TIMEOUT)
            return False
        return True

    def _goes_beside(self, now: float) -> bool:
        """Whether the other policy had a retry beside the attempt in flight, which was late before `now`, its end."""
        if not self._follows:
            return False
        self._align()
        twin = self._twin
        at = twin.late_at
        if now <= at or at >= twin.deadline or not twin.awaits_in_time:
            return False
        verdict = twin.on_late(at)
        if not isinstance(verdict, Retry):
            return False
        if at + verdict.delay >= now:
            self._let_go(now, None)  # the retry had not left yet: no difference
            return False
        return twin.depart(at + verdict.delay) is Admission.GO

    def _align(self) -> None:
        """Copy to the shadow what the host has set on the real exchange."""
        real, twin = self._real, self._twin
        twin.replayable = real.replayable
        twin.elsewhere = real.elsewhere
        twin.committed = real.committed
        twin.attempt_began = real.attempt_began if twin.attempts else twin.attempt_began
        twin.deadline = real.deadline - real.policy.timeout + twin.policy.timeout
        twin.destination.draining = real.destination.draining

    def _compare(self, now: float, told: Verdict, decided: Verdict) -> None:
        if isinstance(told, Retry):
            if isinstance(decided, Deliver):
                self._depart(now)
                self._let_go(now, Difference.RETRY)
        elif isinstance(decided, Retry):
            self._let_go(now, Difference.NO_RETRY)
        elif isinstance(told, Deliver) and isinstance(decided, Deliver):
            self._let_go(now, None if told.refusal is decided.refusal else Difference.REASON)

    def _depart(self, now: float) -> None:
        """Withdraw the token of a retry that only the other policy would have made."""
        self._twin.depart(now)

    def _let_go(self, now: float, difference: Difference | None, *, saves: bool = True) -> None:
        self._follows = False
        self._twin.abandon(now)
        self._twin.finish(now, Result.ABANDONED)
        if difference is not None:
            self._shadow.count(difference, now, saves=saves)
