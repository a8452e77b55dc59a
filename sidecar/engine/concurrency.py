"""The in-flight limit: the control that decides whether a fleet recovers.

A dependency that works on requests whose callers have gone has to be given time to drain its queue. But latency alone
is no evidence of a queue: what is slow may simply be slow. So no limit is in force until there is evidence that only
trouble gives, and one that is in force is lifted as soon as it holds no request back or is proven to be in vain:

    | from     | evidence                                                           | to       |
    | -------- | ------------------------------------------------------------------ | -------- |
    | OPEN     | no good answer for `silence`, though attempts are in flight        | STALLED  |
    | OPEN     | a run of slow answers                                              | WATCH    |
    | OPEN     | a run of answers that get slower and slower                        | HELD     |
    | any      | failures in a row, without a good answer between                   | HELD     |
    | STALLED  | an answer, and originals wait                                      | RESUMING |
    | RESUMING | much quicker than before the stall, or slower than that            | HELD     |
    | WATCH    | slower and slower, or more in flight than twice as much            | HELD     |
    | WATCH    | an answer that is not slow; or it is not getting slower: relearn   | OPEN     |
    | HELD     | as slow with less in flight (or no slower with more): relearn      | WATCH    |
    | HELD     | brisk answers, and no failure for REOPEN_SECONDS                   | OPEN     |
    | any      | no original has waited for REOPEN_SECONDS and two latencies        | OPEN     |

Own; the figures behind the constants are in docs/storms.md and docs/simulate.md.
"""

import math
from enum import Enum
from typing import Final

from sidecar.engine.hold_budget import HoldBudget
from sidecar.engine.latency import IMPATIENCE_SECONDS, SILENCE_SECONDS, SLOW_FACTOR, UsualLatency
from sidecar.engine.orphans import RECLAIM_INTERVAL_SECONDS, RECLAIM_SHARE, OrphanedSlots
from sidecar.engine.policy import ConcurrencyPolicy, LimitKind
from sidecar.engine.trial import COHORT_SAMPLES, RUN_SAMPLES, TREND_SHARE, Cohort, SlowRun, slower_than
from sidecar.engine.wait_queue import PATIENCE_TOLERANCE, Waiter, WaitQueue
from sidecar.engine.window import BUCKETS, Window

FALL_FACTOR: Final = 0.7
FALL_INTERVAL_SECONDS: Final = 0.1
"""Between two falls, and without any good answer before one: a burst of bad news is one piece of news."""
FAILURES_IN_A_ROW: Final = 3
"""Without a good answer between: fewer may be an accident."""
COOLDOWN_SECONDS: Final = 5.0
"""After a fall, before a limit over what is known to be good rises by whole slots again."""
REOPEN_SECONDS: Final = 1.0
"""After the last fall, or the last waiter: from then on a limit that holds no request back is lifted."""
OUTAGE_SECONDS: Final = 3.0
"""Without a good answer: a limit may fall below what used to be in flight, since a short hang is over before."""
KNOWN_GOOD_FACTOR: Final = 2.0
"""Times what used to be in flight: up to there a limit rises by one slot for every brisk answer."""
WATCH_FACTOR: Final = 2.0
"""Times what is in flight when slowness is first suspected, and two standard deviations: a healthy destination is as
slow as it gets by then and needs no more, and one that is overloaded gets there at once."""
WATCH_SECONDS: Final = 1.0
"""For how long slowness is watched at least; twice the present latency if that is longer."""
RESUME_GROWTH: Final = 2.0
"""Slots more for each answer after a stall that is no slower than those before it."""
SAME_FACTOR: Final = 1.1
"""Attempts of before and after a stall that differ by less: it was none."""
HOLD_FACTOR: Final = 0.6
"""Times what was in flight, when a queue is found, and again for the trial whether less in flight is any quicker."""
IN_VAIN: Final = 0.85
"""Times as slow as before, with HOLD_FACTOR in flight: no quicker. A queue gives HOLD_FACTOR."""
LEAST_REDUCTION: Final = 0.75
"""Times what was in flight before: a trial with more than that shows nothing."""
CLEARLY_SLOW_FACTOR: Final = 1.5
"""Times `slow`: what a limit in force has to bring down. Less is no reason for a trial or a fall."""
RETRIAL_SECONDS: Final = 4.0
"""And two latencies, for which a limit may go on being in force without a brisk answer before it is tried again."""
FEW_PER_SECOND: Final = 40.0
"""A destination with a lower usual rate gets no slots back in a stall: a fleet of such pods would send all it has."""
STALL_PROBE_FACTOR: Final = 2.0
"""Times the silence before: when one more slot is given during a stall, so that one attempt that hangs for itself does
not hold the others back."""
PACE: Final = 1.2
"""Times the usual rate: how fast waiters are released. A recovering dependency is not hit by all of them at once."""
PACE_AFTER_BRIEF_FAILURES: Final = 1.5
"""The same after failures for less than OUTAGE_SECONDS, which leave no queue at the dependency and may come again: who
is not served before that is not served at all."""
PACE_SECONDS: Final = 15.0
"""For how long, after the last sign of a queue; from then on the pace doubles every PACE_DOUBLING_SECONDS."""
PACE_AFTER_FAILURES_SECONDS: Final = 4.0
PACE_DOUBLING_SECONDS: Final = 2.0
UNPACED_SECONDS: Final = 0.3
"""Times the usual rate: so many waiters may be released at once when a stall is over, and make no second worse than 1.3
times the usual."""
FEW_WAITERS: Final = 2
"""The same where the rate is low."""
PACE_BURST_SECONDS: Final = 0.02
"""Of the pace that may be released at once, for hosts whose timers tick."""
ARRIVAL_SECONDS: Final = 3.0
"""Over which originals that had to wait are counted, for a load that has risen meanwhile."""
FORGET_PATIENCE_SECONDS: Final = 3600.0
_NEVER: Final = math.inf


class LimitState(Enum):
    """The state of the limit, by the evidence of trouble. The limit is `max_in_flight` while OPEN."""

    OPEN = "open"
    WATCH = "watch"
    """Slow, and it may be a queue: what is in flight may double, not more."""
    STALLED = "stalled"
    """No answers at all: what is in flight stays there, the others wait."""
    RESUMING = "resuming"
    """The first answers after a stall."""
    HELD = "held"
    """There is a queue, or there are only failures: less in flight, until it is brisk or as slow with less."""


OPEN: Final = LimitState.OPEN
WATCH: Final = LimitState.WATCH
STALLED: Final = LimitState.STALLED
RESUMING: Final = LimitState.RESUMING
HELD: Final = LimitState.HELD


class ConcurrencyLimit:
    """One per destination. Holds the number in flight, the limit, and the originals that wait."""

    __slots__ = (
        "_adaptive",
        "_after",
        "_arrivals",
        "_before",
        "_changed",
        "_failures",
        "_hold_budget",
        "_is_suspicion",
        "_judged_at",
        "_last_fall",
        "_last_good",
        "_last_waiting",
        "_limit_before",
        "_orphans",
        "_pace",
        "_paced_at",
        "_paced_until",
        "_patience",
        "_patience_known_at",
        "_policy",
        "_probe_at",
        "_probe_wait",
        "_proven",
        "_run",
        "_since",
        "_size",
        "_timeout",
        "_trial_factor",
        "_usual",
        "_watch_until",
        "in_flight",
        "limit",
        "looks_at",
        "silence",
        "stalls_at",
        "state",
        "waiting",
    )

    def __init__(
        self, policy: ConcurrencyPolicy, now: float, *, timeout: float = 10.0, unknown_silence: float = 2.0
    ) -> None:
        """`timeout` bounds how long callers wait; `unknown_silence` is a stall before anything is known. Seconds."""
        self.in_flight = 0
        self.waiting = WaitQueue()
        self._arrivals = Window(ARRIVAL_SECONDS / BUCKETS, now)
        self.looks_at = _NEVER
        """When a slot may become free for a waiter without an answer: an orphan's, a probe's, or by pace."""
        self.state = OPEN
        self._timeout = self._patience = timeout
        self._patience_known_at = -_NEVER
        self._hold_budget = HoldBudget()
        self._is_suspicion = False  # the limit in force is only due to what is assumed about patience
        self._usual = UsualLatency(timeout, unknown_silence, now)
        self.silence = self._usual.silence
        """Seconds without a good answer that are a stall."""
        self.stalls_at = _NEVER
        """When the silence since the first attempt after the last good answer is a stall; infinity: no attempt."""
        self._orphans = OrphanedSlots()
        self._last_fall = self._last_good = self._last_waiting = -_NEVER
        self._failures = 0
        self._run = SlowRun()
        # Of the state that is not OPEN:
        self._size = 0.0  # in flight when it began
        self._since = _NEVER  # only attempts sent from then on are judged
        self._before = self._after = Cohort()
        self._watch_until = self._judged_at = _NEVER
        self._proven = False
        self._changed = False
        self._trial_factor = HOLD_FACTOR
        self._limit_before = 0.0
        self._probe_at = _NEVER
        self._probe_wait = 0.0
        self._pace = PACE
        self._paced_at = self._paced_until = -_NEVER
        self.limit = 0.0
        self._policy = policy
        self._adaptive = True
        self.adopt(policy, now, timeout=timeout)

    def adopt(self, policy: ConcurrencyPolicy, now: float, *, timeout: float | None = None) -> None:
        """Another policy from now on; what is known stays. A fixed limit is `initial`, inside the policy's bounds."""
        self._policy = policy
        self._adaptive = policy.limit is LimitKind.ADAPTIVE
        if timeout is not None and timeout != self._timeout:
            self._timeout = timeout
            known = self._patience if self._patience_known_at > -_NEVER else math.inf
            self._be_patient(min(known, self._assumed_patience), now)
        if not self._adaptive:
            self.state = OPEN
            self.limit = float(min(max(policy.initial, policy.min_in_flight), policy.max_in_flight))
        elif self.state is OPEN:
            self.limit = float(policy.max_in_flight)
        else:
            self.limit = min(max(self.limit, 1.0), float(policy.max_in_flight))

    # Going out

    def stall(self, now: float) -> None:
        """`stalls_at` has passed, and an original wants to leave: no more in flight than there are now."""
        if not self._adaptive or self.state in {STALLED, RESUMING, HELD}:
            return
        if self.state is OPEN:
            self._is_suspicion = self._is_assuming
        self.state = STALLED
        self.limit = min(self.limit, max(float(self.in_flight), self._floor))
        self._probe_wait = self.silence
        self._probe_at = now + self._probe_wait

    def crowded(self, now: float) -> bool:
        """Whether all slots are taken."""
        if self._orphans:
            self.reclaim(now)
        if self.in_flight < int(self.limit):
            return False
        if self.state is WATCH:  # it had enough when it was as slow as now, and wants more
            self._hold(self._size, now)
        elif self.state is STALLED and now >= self._probe_at and self.in_flight < self._policy.max_in_flight:
            self._probe_wait *= STALL_PROBE_FACTOR
            self._probe_at = now + self._probe_wait
            self.limit = self.in_flight + 1.0
            return False
        return True

    def paced(self, now: float) -> bool:
        """Whether a waiter has to wait a little longer, although there is a slot: others were just released."""
        return now < self._paced_at

    def released_waiter(self, now: float) -> None:
        """A waiter is about to leave for the slot that it waited for."""
        if self._usual.rate > 0.0:
            self._arrivals.advance(now)
            doublings = min(10.0, max(0.0, (now - self._paced_until) / PACE_DOUBLING_SECONDS))
            apart = 1.0 / (self._pace * 2.0**doublings * max(self._usual.rate, self._arrivals.total / ARRIVAL_SECONDS))
            self._paced_at = max(self._paced_at, now - PACE_BURST_SECONDS) + apart

    def enqueue(self, waiter: Waiter, now: float) -> bool:
        """Let an original wait; False if too many do."""
        if len(self.waiting) >= self._policy.max_waiting:
            return False
        self.waiting.add(waiter, now)
        self._arrivals.add(now)
        self._last_waiting = now
        if self._is_suspicion:
            budget = self._hold_budget
            budget.spend()
            if budget.is_exhausted or (self.state is STALLED and not budget.is_funded):
                self._trust(now)
        return True

    def look_again(self, now: float) -> None:
        """`paced` or `crowded` has just kept a waiter back: put down in `looks_at` when that may be over."""
        if self.paced(now):
            self.looks_at = self._paced_at
        elif self.state is STALLED:
            self.looks_at = min(self._orphans.reclaims_at, self._probe_at)
        else:
            self.looks_at = self._orphans.reclaims_at

    # Coming back

    def answered(self, seconds: float, now: float) -> None:
        """An attempt in flight ended with a good answer after `seconds`."""
        self.in_flight -= 1
        self.stalls_at = _NEVER
        if not self._adaptive:
            return
        self._failures = 0
        usual = self._usual
        usual.total += seconds
        usual.count += 1
        if now >= usual.ends:
            self._end_period(now)
        if self.state is OPEN:
            self._last_good = now
            if seconds <= usual.slow:
                if self._run.latencies:
                    self._run.clear()
            else:
                self._suspect(seconds, now)
        else:
            self._judge(seconds, now)

    def timed_out(self, seconds: float, patience: float, now: float) -> None:
        """An attempt in flight was not answered by the deadline, `seconds` after it began.

        It is a failure only if it was slow, by what is usual or by `patience`: one that had waited for its slot until
        there was no time left for an answer says nothing.
        """
        if seconds <= min(self._usual.slow, patience):
            self.released()
        else:
            self.failed(now)

    def failed(self, now: float) -> None:
        """An attempt in flight ended in a failure."""
        self.in_flight -= 1
        self._failures += 1
        if self._loses_slots:
            self.limit -= 1.0
        if self._failures >= FAILURES_IN_A_ROW:
            self._fall(now, self._usual.in_flight if now - self._last_good < OUTAGE_SECONDS else 0.0)

    def released(self) -> None:
        """An attempt in flight ended in a way that says nothing."""
        self.in_flight -= 1

    def release_slot(self) -> None:
        """An attempt in flight gives its slot to others for a while."""
        self.in_flight -= 1
        if not self.in_flight:
            self.stalls_at = _NEVER

    def deserted(self, seconds: float, now: float) -> None:
        """A caller has left `seconds` after its request came: so long do callers wait, if it did not leave at once.

        Until an answer is taken by one that has waited for longer, or FORGET_PATIENCE_SECONDS have passed.
        """
        if seconds < max(SILENCE_SECONDS, SLOW_FACTOR * self._usual.seconds if self._usual.known else 0.0):
            return
        self._patience_known_at = now
        self._is_suspicion = False
        self._be_patient(min(seconds, self._patience), now)

    def orphan(self, seconds: float, patience: float, now: float) -> None:
        """An attempt in flight is not awaited any more after `seconds`, and the dependency does not know it.

        If it was slow, by what is usual or by `patience`, its slot stays taken until `reclaim` says otherwise.
        """
        if not self._adaptive or seconds <= min(self._usual.slow, patience):
            self.in_flight -= 1
            return
        if self._loses_slots:
            self.in_flight -= 1
            self.limit -= 1.0
            return
        self._orphans.add(seconds, now)

    def reclaim(self, now: float) -> None:
        """Give orphaned slots back. Not asked while there is room, so that no answer has to see to it."""
        self.in_flight -= self._orphans.reclaim(self._last_good, now)

    @property
    def usual_room(self) -> float:
        """Twice what used to be in flight, of which a recovering breaker gives out its share."""
        return max(float(self._policy.initial), KNOWN_GOOD_FACTOR * self._usual.in_flight + 1.0)

    def silent_since(self, began: float) -> bool:
        """Whether several attempts are in flight, and none was answered well since that instant: all are late."""
        return self._adaptive and self.in_flight > FAILURES_IN_A_ROW and self._last_good < began

    @property
    def orphaned(self) -> int:
        """The number of slots taken that are orphaned, as of the last `reclaim`."""
        return len(self._orphans)

    @property
    def awaited(self) -> int:
        """Attempts in flight whose answers are awaited."""
        return self.in_flight - len(self._orphans)

    # Private, in the order of the states

    @property
    def _floor(self) -> float:
        """Requests in flight that a limit always admits while it is beginning."""
        policy = self._policy
        if not self._usual.known:
            return float(max(policy.initial, policy.min_in_flight))
        return max(1.0, min(float(policy.initial), KNOWN_GOOD_FACTOR * self._usual.in_flight + 1.0))

    @property
    def _loses_slots(self) -> bool:
        """Whether a slot that comes back without an answer is not given to the next, which would be lost as well."""
        return self.state is STALLED and self._usual.rate < FEW_PER_SECOND and self.limit >= self._floor + 1.0

    @property
    def _assumed_patience(self) -> float:
        """Seconds for which callers are taken to wait while that is not known."""
        return min(self._timeout, IMPATIENCE_SECONDS) if self._hold_budget.is_funded else self._timeout

    @property
    def _is_assuming(self) -> bool:
        """Whether callers are taken to wait for less than the policy lets them, and none has shown it."""
        return self._patience == IMPATIENCE_SECONDS < self._timeout and self._patience_known_at == -_NEVER

    def _trust(self, now: float) -> None:
        """Enough were held back on suspicion: callers are taken to wait for as long as the policy lets them."""
        self._paced_at = self._paced_until = -_NEVER
        self._open(now)

    def _end_period(self, now: float) -> None:
        answered = self._usual.end_period(now, limited=self.state is not OPEN)
        if self.state is OPEN:
            self._hold_budget.earn(answered, self._usual.rate)
        if now - self._patience_known_at > FORGET_PATIENCE_SECONDS:
            self._patience_known_at = -_NEVER
            if self.state is OPEN:
                self._be_patient(self._assumed_patience, now)
        self.silence = self._usual.silence
        if self._usual.rate > 0.0:
            self._orphans.interval = max(RECLAIM_INTERVAL_SECONDS, 1.0 / (RECLAIM_SHARE * self._usual.rate))
        self.waiting.answer_seconds = self._usual.seconds if self._usual.known else 0.0

    def _be_patient(self, patience: float, now: float) -> None:
        if patience == self._patience:
            return
        self._patience = patience
        silence = self.silence
        self._usual.be_patient(patience)
        self.silence = self._usual.silence
        self.stalls_at += self.silence - silence
        del now

    def _suspect(self, seconds: float, now: float) -> None:
        """A slow answer while the limit is open."""
        if seconds > PATIENCE_TOLERANCE * self._patience:
            self._patience_known_at = -_NEVER
            self._hold_budget.clear()
            self._be_patient(self._timeout, now)
        run = self._run
        if not run.add(seconds, now) or len(run) < RUN_SAMPLES:
            return
        lasted = now - run.began
        if lasted >= TREND_SHARE * seconds and run.rises:
            self._is_suspicion = self._is_assuming
            self._hold(self.in_flight + 1.0, now)
        elif lasted >= 2.0 * run.mean:
            self._is_suspicion = self._is_assuming
            self._watch(self.in_flight + 1.0, now)

    def _watch(self, size: float, now: float) -> None:
        self.state = WATCH
        self._size = size
        latency = self._run.mean if self._run else 0.0
        self._watch_until = now + max(WATCH_SECONDS, 2.0 * latency)
        room = WATCH_FACTOR * size + 2.0 * math.sqrt(size) + 1.0
        self.limit = min(float(self._policy.max_in_flight), room)

    def _judge(self, seconds: float, now: float) -> None:
        """A good answer while a limit is in force."""
        if self.waiting:
            self._last_waiting = now
        elif now - self._last_waiting >= REOPEN_SECONDS + 2.0 * seconds and now - self._last_fall >= REOPEN_SECONDS:
            if self.state is RESUMING and self._after.count >= COHORT_SAMPLES:
                self._learn(self._after.mean, now)
            self._open(now)  # it holds no request back
        state = self.state
        if state is OPEN or (state is STALLED and not self.waiting):
            self._open(now)
            self._last_good = now
            if seconds > self._usual.slow:
                self._suspect(seconds, now)
        elif state is STALLED:
            self.state = RESUMING
            self.waiting.forget_trend()
            if len(self.waiting) > max(FEW_WAITERS, UNPACED_SECONDS * self._usual.rate):
                self._pace, self._paced_until = PACE, now + PACE_SECONDS
            else:
                self.limit = min(self.limit + len(self.waiting), float(self._policy.max_in_flight))
            self._since = now
            self._before, self._after = Cohort(), Cohort()
            self._resume(seconds, now)
        elif state is RESUMING:
            self._resume(seconds, now)
        elif state is WATCH:
            self._watch_on(seconds, now)
        else:
            self._hold_on(seconds, now)

    def _resume(self, seconds: float, now: float) -> None:
        """An answer after a stall.

        Each answer that is no slower than those of before the stall makes room for two: in flight doubles once per
        latency, as in TCP's slow start, and a destination that is slow and not stalled is soon open again.
        """
        self._last_good = now
        if now - seconds < self._since:
            self._before.add(seconds)
            self._grow_for_waiters()
            return
        self._after.add(seconds)
        same = SAME_FACTOR * self._before.mean
        if self._after.count < COHORT_SAMPLES:
            return
        if self._after.count == COHORT_SAMPLES and self._after.mean * 2.0 < self._before.mean:
            self._hold(float(self.in_flight), now)
        elif seconds <= same:
            self._run.clear()
            self._grow_for_waiters()
        elif self._run.add(seconds, now) and len(self._run) >= RUN_SAMPLES // 2:
            self._hold(float(self.in_flight), now)

    def _grow_for_waiters(self) -> None:
        if self.waiting:
            self.limit = min(self.limit + RESUME_GROWTH, float(self._policy.max_in_flight))

    def _watch_on(self, seconds: float, now: float) -> None:
        self._last_good = now
        run = self._run
        if seconds <= self._usual.slow:
            self._open(now)
            return
        run.add(seconds, now)
        if now < self._watch_until:
            return
        if run.rises:
            self._hold(self._size, now)
        else:
            self._learn(run.mean, now)
            self._open(now)

    def _hold_on(self, seconds: float, now: float) -> None:
        usual = self._usual
        if seconds > usual.slow:
            self._pace, self._paced_until = PACE, now + PACE_SECONDS
            clearly = seconds > CLEARLY_SLOW_FACTOR * usual.slow
            if not self._proven and (clearly or self._trial_factor > 1.0):
                self._try(seconds, now)
            elif now >= self._judged_at + RETRIAL_SECONDS + 2.0 * seconds:
                self._begin_trial(1.0 / HOLD_FACTOR)
            elif not clearly:
                self._run.clear()
            elif self._run.add(seconds, now) and len(self._run) >= RUN_SAMPLES // 2:
                self._run.clear()
                self._fall(now, usual.in_flight)
            return
        self._run.clear()
        self._last_good = now
        if seconds > usual.brisk:
            return
        most = float(self._policy.max_in_flight)
        if self.waiting:
            known_good = not usual.known or self.limit < KNOWN_GOOD_FACTOR * usual.in_flight
            if known_good or now - self._last_fall >= COOLDOWN_SECONDS:
                self.limit = min(self.limit + 1.0, most)
            elif 2 * (self.in_flight + 1) >= self.limit:
                self.limit = min(self.limit + 1 / self.limit, most)
        elif now - self._last_fall >= REOPEN_SECONDS:
            self._open(now)

    def _hold(self, size: float, now: float) -> None:
        """It gets slower and slower: less at once, until it is brisk, or as slow with less."""
        self.state = HELD
        self._run.clear()
        self._size = max(size, self.in_flight + 1.0)
        least = float(self._policy.min_in_flight)
        self.limit = min(self.limit, max(HOLD_FACTOR * self._size, least))
        self._judged_at = self._last_waiting = now  # what is not in force yet cannot have held a request back
        self._begin_trial(HOLD_FACTOR)
        if self._size <= 2.0 * least:
            self._prove(now)  # too little in flight for a trial with less

    def _begin_trial(self, factor: float) -> None:
        self._proven = self._changed = False
        self._trial_factor = factor
        self._since = _NEVER
        self._before, self._after = Cohort(), Cohort()

    def _try(self, seconds: float, now: float) -> None:
        """Compare the latency under this limit with that under `_trial_factor` times it.

        Only attempts that were sent when no more was in flight than the limit in question allows are compared, and
        under a higher limit those that were sent once it was reached: the first ones still meet the shorter queue.
        """
        if now - seconds < self._since:
            if self._since == _NEVER and self._has_settled:
                self._since = now
            return
        if not self._changed:
            self._before.add(seconds)
            if self._before.count >= COHORT_SAMPLES:
                self._changed = True
                self._since = _NEVER
                self._limit_before = self.limit
                limit = max(self._trial_factor * self.limit, float(self._policy.min_in_flight))
                self.limit = min(limit, float(self._policy.max_in_flight))
                if self._trial_factor < 1.0 and self.limit > LEAST_REDUCTION * self._limit_before:
                    self._prove(now)  # too little in flight for a trial with less
            return
        if self._trial_factor < 1.0 and self.limit > LEAST_REDUCTION * self._limit_before:
            self._prove(now)  # brisk answers have raised it again: less in flight is quicker
            return
        self._after.add(seconds)
        if self._trial_factor < 1.0:
            in_vain = slower_than(self._after, self._before, IN_VAIN)
        else:
            slower = slower_than(self._after, self._before, 1.0 / IN_VAIN)
            in_vain = None if slower is None else not slower
        if in_vain:
            size = max(self._size, self._limit_before) + len(self.waiting)
            self._learn(self._after.mean, now)
            self._watch(size, now)
        elif in_vain is not None:
            if self._trial_factor > 1.0:
                self.limit = self._limit_before
            self._is_suspicion = False
            self._prove(now)

    @property
    def _has_settled(self) -> bool:
        """Whether what is in flight is what the limit of the trial is about; an answer has just made room for one."""
        if self._changed and self._trial_factor > 1.0:
            return self.in_flight + 1 >= int(self.limit)
        return self.in_flight <= int(self.limit)

    def _prove(self, now: float) -> None:
        self._proven = True
        self._judged_at = now

    def _learn(self, seconds: float, now: float) -> None:
        if self._is_suspicion:
            self._hold_budget.clear()
        self._usual.relearn(seconds, float(self.in_flight), now)
        self.silence = self._usual.silence
        self.waiting.answer_seconds = seconds

    def _open(self, now: float) -> None:
        self.state = OPEN
        if self._is_assuming:
            self._be_patient(self._assumed_patience, now)
        self._is_suspicion = False
        self._run.clear()
        self.limit = float(self._policy.max_in_flight)

    def _fall(self, now: float, least: float) -> None:
        if not self._adaptive:
            return
        if now - self._last_fall < FALL_INTERVAL_SECONDS or now - self._last_good < FALL_INTERVAL_SECONDS:
            return
        self._last_fall = now
        self._is_suspicion = False
        is_outage = now - self._last_good >= OUTAGE_SECONDS
        self._pace = PACE if is_outage else PACE_AFTER_BRIEF_FAILURES
        self._paced_until = now + PACE_AFTER_FAILURES_SECONDS
        if self.state in {OPEN, WATCH}:
            self.state = HELD
            self._proven = True
            self._judged_at = now
            self.limit = min(self.limit, max(float(self.in_flight), self._floor))
        self.limit = min(self.limit, max(self.limit * FALL_FACTOR, least, float(self._policy.min_in_flight)))
