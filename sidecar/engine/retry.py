"""The judgement: one request over all its attempts, and whether another one is made.

At most two attempts of one request are in flight at once. An attempt that is late (no head after `late_at`) is not
given up for its retry: the retry is paid for and goes beside it, the first good answer wins, and the other is called
off. The late attempt is the *elder* from then on. A failure of either leaves the other awaited.
"""

from bisect import bisect_left
from enum import Enum, IntEnum
from typing import Final

from sidecar.engine.backoff import full_jitter
from sidecar.engine.breaker import CLOSED, HALF_OPEN, RECOVERING
from sidecar.engine.classify import TOO_MANY_REQUESTS, is_permanent
from sidecar.engine.destination import Destination
from sidecar.engine.outcome import AttemptKind, Fault, Result, result_of
from sidecar.engine.pushback import pushed_back, too_long
from sidecar.engine.verdict import AWAIT, DELIVER, REFUSED, Refusal, Retry, Verdict

UPLOAD_SLOT_SECONDS: Final = 1.0
"""The seconds for which an attempt whose request body is still being read may hold a slot: then the client is slow."""


class Admission(Enum):
    """The answer to an attempt that wants to leave: it does, or its request waits for a slot."""

    GO = "go"
    WAIT = "wait"


class RequestState(IntEnum):
    """The phase of an exchange, apart from an elder attempt that may be in flight beside it."""

    NEW = 0
    WAITING = 1
    """In the wait queue."""
    IN_FLIGHT = 2
    """The current attempt has a slot."""
    UPLOADING = 3
    """The current attempt is in flight, but gave its slot back: see `on_upload_slow`."""
    BACKING_OFF = 4
    """A retry was granted and paid for."""
    IDLE = 5


class LateAttempt:
    """An attempt that goes on beside its retry. `began` in monotonic seconds, `generation` the breaker's."""

    __slots__ = ("began", "generation", "kind", "number")

    def __init__(self, number: int, kind: int, generation: int, began: float) -> None:
        self.number = number
        self.kind = kind
        self.generation = generation
        self.began = began


# Bound once: a member looked up on its class costs 50 ns in CPython 3.11, a global 2 ns.
_GO: Final = Admission.GO
_WAIT: Final = Admission.WAIT
_FIRST: Final = int(AttemptKind.FIRST)
_RETRY: Final = int(AttemptKind.RETRY)
_RECONNECT: Final = int(AttemptKind.RECONNECT)
_SUCCESS: Final = int(Result.SUCCESS)
_FAULT: Final = int(Result.FAULT)
_ABANDONED: Final = int(Result.ABANDONED)
_SUPERSEDED: Final = int(Result.SUPERSEDED)
_BREAKER_OPEN: Final = Refusal.BREAKER_OPEN
_CONCURRENCY_LIMIT: Final = Refusal.CONCURRENCY_LIMIT
_NEW: Final = RequestState.NEW
_WAITING: Final = RequestState.WAITING
_IN_FLIGHT: Final = RequestState.IN_FLIGHT
_UPLOADING: Final = RequestState.UPLOADING
_BACKING_OFF: Final = RequestState.BACKING_OFF
_IDLE: Final = RequestState.IDLE

_TIMER_TOLERANCE_SECONDS: Final = 0.02
"""By how much a host's timers may be late without making a granted retry too late."""
_NEVER: Final = float("inf")
_NO_GENERATION: Final = -1  # of an attempt whose result says nothing to the breaker
_ADMITTING: Final = frozenset({CLOSED, RECOVERING})
_FAST_FAULTS: Final = frozenset({Fault.CONNECT_FAILURE, Fault.RESET, Fault.PROTOCOL})


class RetryState:
    """One request and its attempts. The host calls in the order in which things happen, and does what it is told.

    `replayable`, `committed`, `elsewhere` and `host` (its own object, unused here) are the host's to set; for a route
    of its own also `policy`, `lateness` and `deadline`, straight after construction. Instants are monotonic seconds.
    `repeatable_until` is the last instant at which a request that may have been executed may be sent again: infinity
    for an idempotent method, minus infinity for an unsafe one.

    A verdict may come at a response's trailers (gRPC): call `on_status` once the status that counts is known, and set
    `committed` when a byte of the response was passed on before. A stream that the endpoint refused unprocessed (HTTP/2
    REFUSED_STREAM) is a fault with `sent=False`: it is sent again whatever its method.
    """

    __slots__ = (
        "_cause",
        "_generation",
        "_is_late",
        "_kind",
        "_paid_at",
        "_reconnected",
        "_sent",
        "_state",
        "_tries",
        "attempt_began",
        "attempt_number",
        "attempts",
        "began",
        "committed",
        "deadline",
        "destination",
        "elder",
        "elsewhere",
        "host",
        "lateness",
        "policy",
        "repeatable_until",
        "replayable",
        "waiting_since",
        "wake_at",
    )

    # Of the attempt in flight, and of the retry that was granted: unset before there is one (60 ns a request).
    _tries: int
    _kind: int
    _generation: int
    _is_late: bool
    _cause: str
    _paid_at: float
    attempt_number: int
    wake_at: float
    host: object
    """The host's own object for this request while it waits; the engine does not look at it."""

    def __init__(self, destination: Destination, now: float, repeatable_until: float) -> None:
        self.destination = destination
        policy = self.policy = destination.policy
        self.lateness = destination.lateness
        self.began = self.attempt_began = self.waiting_since = now
        self.deadline = now + policy.timeout
        self.repeatable_until = repeatable_until
        self.attempts = 0
        self.replayable = True
        self.elsewhere = False
        """Whether a retry would go to another address: it is not as late only because this attempt is."""
        self.committed = False
        self.elder: LateAttempt | None = None
        self._state = _NEW
        self._sent = False  # by an attempt that is to be repeated
        self._reconnected = False

    @property
    def late_at(self) -> float:
        """When the current attempt is late. It may move while the attempt is in flight: ask again when it has come."""
        return self.attempt_began + max(self.policy.per_attempt_timeout, self.lateness.seconds)

    @property
    def holds_slot(self) -> bool:
        """Whether the current attempt is in flight and counts as such."""
        return self._state is _IN_FLIGHT

    @property
    def awaits_in_time(self) -> bool:
        """Whether the current attempt is in flight and has not been found late."""
        return self._state is _IN_FLIGHT and not self._is_late

    # Going out

    def admit(self, now: float) -> Admission | Refusal:
        """Ask to send the original.

        GO: attempt 1 has begun and is paid in. WAIT: it stands in the line, for a place or for what the breaker's probe
        comes to; call `wake` at `wake_at` if it still does then. A Refusal: it is never sent.
        """
        destination = self.destination
        breaker = destination.breaker
        limiter = destination.limiter
        probing = False
        if breaker._state is CLOSED:  # noqa: SLF001 - a property here would cost 50 ns a request
            if now >= limiter.stalls_at:
                limiter.stall(now)
            # More than all whole slots would be taken; rounding the limit down takes a call, 40 ns.
            crowded = limiter.in_flight + 1 > limiter.limit and limiter.crowded(now)
        elif not breaker.admit(now):
            return self._hold_back(now)
        else:
            probing = breaker.state(now) is HALF_OPEN  # it need not wait for attempts that hang
            crowded = not destination.has_capacity(now)
        if (crowded or (limiter.waiting and self._state is _NEW)) and not probing:
            return self._wait(now, self.deadline - self.policy.retry.min_remaining, _CONCURRENCY_LIMIT)
        # Two windows count this request; `Window.add` without its call is 50 ns less, for each of five on the path.
        window = destination.budget.requests
        if now >= window.edge:
            window.advance(now)
        window.newest += 1
        window = destination.requests_lately
        if now >= window.edge:
            window.advance(now)
        window.newest += 1
        self._tries = 1
        self._begin_attempt(now, _FIRST)
        return _GO

    def wake(self, now: float) -> Admission | Refusal:
        """`wake_at` has come, and it still waits. The answers are those of `admit`; WAIT: until another `wake_at`."""
        breaker = self.destination.breaker
        self.wake_at = self.deadline - self.policy.retry.min_remaining
        if now >= self.wake_at:
            return self._give_up(_CONCURRENCY_LIMIT)
        if breaker.state(now) in _ADMITTING:
            return _WAIT  # held no longer, but in the line for a place; or its deadline has moved
        if breaker.refuses(now):
            until = breaker.held_until(self.waiting_since, now)
            if until is None:
                return self._give_up(_BREAKER_OPEN)
            self.wake_at = min(self.wake_at, until)
            return _WAIT
        self.destination.limiter.waiting.remove_waiter(self)
        return self.admit(now)

    def depart(self, now: float) -> Admission | Refusal:
        """The back-off is over. GO: the retry has begun.

        A Refusal: it may not leave, and its token is given back. An elder attempt is the current one again then.
        """
        destination = self.destination
        refusal = None
        if self._sent and now > self.repeatable_until:
            refusal = Refusal.NOT_IDEMPOTENT
        elif now > self.deadline - max(0.0, self.policy.retry.min_remaining - _TIMER_TOLERANCE_SECONDS):
            refusal = Refusal.DEADLINE
        elif destination.draining:
            refusal = Refusal.DRAINING
        elif not destination.breaker.admit(now):
            refusal = _BREAKER_OPEN
        elif destination.breaker.state(now) is not HALF_OPEN and self._crowded(now):
            refusal = _CONCURRENCY_LIMIT
        if refusal is not None:
            self._state = _IDLE
            destination.budget.refund(self._paid_at)
            destination.tally.refusals[refusal] += 1
            if self.elder is not None:
                self._promote_elder()
            return refusal
        destination.budget.depart(self._paid_at, now)
        retries = destination.tally.retries
        retries[self._cause] = retries.get(self._cause, 0) + 1
        self._tries += 1
        self._begin_attempt(now, _RETRY)
        return _GO

    def reconnect(self, now: float) -> bool:
        """The pooled connection turned out to be stale. True: send the request once more, on a fresh connection.

        At most once, and only what is safe to repeat; in the same slot and no retry, but paid for by the budget once
        reconnects are more than a trickle.
        """
        if self._reconnected or self.committed or not self.replayable or now > self.repeatable_until:
            return False
        destination = self.destination
        if not destination.budget.withdraw_reconnect(now):
            return False
        self._reconnected = self._sent = True
        self._take_slot_again()
        tally = destination.tally
        tally.attempts[self._kind][_FAULT] += 1
        tally.attempt_seconds.observe(now - self.attempt_began)
        destination.limiter.in_flight -= 1  # taken again below
        generation = self._generation
        self._begin_attempt(now, _RECONNECT)
        self._generation = generation  # the breaker was not asked: it stays the attempt that was admitted then
        return True

    def on_upload_slow(self, now: float) -> None:
        """The request's body is still being read UPLOAD_SLOT_SECONDS after the attempt began.

        Its slot, and the breaker's probe if it was that, are free for others until `on_request_complete`: how long it
        takes is the client's pace, and says nothing about the destination. Wake who waits.
        """
        if self._state is not _IN_FLIGHT:
            return
        self._state = _UPLOADING
        self.destination.limiter.release_slot()
        self.destination.breaker.release_probe(self._generation)
        self._generation = _NO_GENERATION
        del now

    def on_request_complete(self, now: float) -> None:
        """The request's body has been read to its end: the clocks of the answer start now."""
        self.deadline = now + self.policy.timeout
        self._take_slot_again()
        if self._state is _IN_FLIGHT:
            self.attempt_began = now

    # Coming back

    def on_status(self, now: float, status: int, retry_after: float | None, *, peer_refused: bool = False) -> Verdict:
        """The current attempt was answered and is over. `retry_after` in seconds, None without a valid one.

        `peer_refused`: another sidecar on the way has refused, so that its answer is final.
        AWAIT: it failed, and the elder attempt is the current one again.
        """
        destination = self.destination
        tally = destination.tally
        seconds = now - self.attempt_began
        histogram = tally.attempt_seconds
        histogram.counts[bisect_left(histogram.bounds, seconds)] += 1
        histogram.sum += seconds
        if seconds > histogram.recent:  # noqa: PLR1730 - max() takes 60 ns more, twice a request
            histogram.recent = seconds
        if self._state is not _IN_FLIGHT:
            self._take_slot_again()
        self._state = _IDLE
        if status < 400:
            tally.attempts[self._kind][_SUCCESS] += 1
        else:
            tally.attempts[self._kind][result_of(status)] += 1
        if status not in destination.failing:
            destination.breaker.success(self._generation, now)
            destination.limiter.answered(seconds, now)
            if self._is_late:
                self._late_answer(seconds, now)
            if self.elder is not None:
                destination.late_retries.won()
                self._call_off_elder(now, _SUPERSEDED)
            return DELIVER
        self._record_failing_status(status, retry_after, self._generation, now)
        if self.elder is not None:
            self._promote_elder()
            return AWAIT
        if is_permanent(self.policy.retry, status):
            return DELIVER
        return self._judge(now, f"status_{status}", retry_after, sent=True, peer_refused=peer_refused)

    def on_fault(self, now: float, fault: Fault, *, sent: bool, permanent: bool = False) -> Verdict:
        """No answer came: the current attempt is over. `sent`: a byte of it may have reached the application.

        `permanent`: it would be the same again wherever another attempt could go, so none is wanted.
        AWAIT: the elder attempt is the current one again.
        """
        self._fail(now, fault)
        if self.elder is not None:
            self._promote_elder()
            return AWAIT
        if permanent or is_permanent(self.policy.retry, fault):
            return DELIVER
        return self._judge(now, fault.value, None, sent=sent)

    def on_late(self, now: float) -> Verdict:
        """`late_at` has passed without a head.

        A Retry: it goes beside this attempt, which is the elder from now on. Otherwise leave it running to the
        deadline: its answer may still come, and the dependency's work on it is not wasted. No retry is wanted where
        nothing at all was answered meanwhile, and where late retries do not help: it would be as late. That they do not
        is said of one address: a retry that goes elsewhere is not rationed.
        """
        destination = self.destination
        if not self._is_late:
            self._is_late = True
            destination.tally.late_attempts += 1
            destination.breaker.inconclusive(self._generation, now)
        if self.elder is not None:  # two at once are enough, and where both are late the request is what takes long
            self.lateness.learn(now - self.elder.began, now)
            return DELIVER
        if is_permanent(self.policy.retry, Fault.TIMEOUT):
            return DELIVER
        limiter, allowance = destination.limiter, destination.late_retries
        if limiter.silent_since(self.attempt_began):
            return DELIVER
        rationed = not self.elsewhere
        if rationed and not allowance.withdraw(destination.tally.requests_total, alone=limiter.awaited <= 1):
            return DELIVER
        verdict = self._judge(now, "timeout", None, sent=True)
        if not isinstance(verdict, Retry):
            if rationed:
                allowance.refund()
        else:
            self.elder = LateAttempt(self.attempt_number, self._kind, self._generation, self.attempt_began)
        return verdict

    def give_up_elder(self, now: float) -> None:
        """The host can not keep the late attempt beside its retry: it is over, and the retry stays granted."""
        assert self.elder is not None
        elder, self.elder = self.elder, None
        self._count_elder(elder, _FAULT, now)
        if not self.elsewhere:
            self.destination.late_retries.refund()
        self.destination.limiter.released()
        self.destination.breaker.inconclusive(elder.generation, now)

    def on_elder_status(self, now: float, status: int, retry_after: float | None) -> Verdict:
        """The elder attempt was answered and is over. A Deliver without a refusal: it has won, call the retry off.

        AWAIT: it failed, and its retry goes on. If that had not left yet, its grant is void and the failure is judged
        as any other.
        """
        destination = self.destination
        assert self.elder is not None
        elder, self.elder = self.elder, None
        self._count_elder(elder, result_of(status), now)
        if status not in destination.failing:
            seconds = now - elder.began
            destination.breaker.success(elder.generation, now)
            destination.limiter.answered(seconds, now)
            self._late_answer(seconds, now)
            destination.tally.late_wins += 1
            self._call_off_retry(now)
            return DELIVER
        self._record_failing_status(status, retry_after, elder.generation, now)
        if not self._void_grant():
            return AWAIT
        if is_permanent(self.policy.retry, status):
            return DELIVER
        return self._judge(now, f"status_{status}", retry_after, sent=True)

    def on_elder_fault(self, now: float, fault: Fault, *, sent: bool) -> Verdict:
        """The elder attempt will not be answered. The verdicts are those of `on_elder_status`."""
        assert self.elder is not None
        elder, self.elder = self.elder, None
        self._record_fault(elder.kind, elder.generation, elder.began, fault, now)
        if not self._void_grant():
            return AWAIT
        if is_permanent(self.policy.retry, fault):
            return DELIVER
        return self._judge(now, fault.value, None, sent=sent)

    def on_deadline(self, now: float, *, sent: bool) -> Verdict:
        """`deadline` has passed: all attempts are over, and a retry that was granted is void."""
        if self.elder is not None:
            elder, self.elder = self.elder, None
            self._record_fault(elder.kind, elder.generation, elder.began, Fault.TIMEOUT, now)
        if not self._void_grant():
            self._fail(now, Fault.TIMEOUT)
        if is_permanent(self.policy.retry, Fault.TIMEOUT):
            return DELIVER
        return self._judge(now, Fault.TIMEOUT.value, None, sent=sent)

    def abandon(self, now: float) -> None:
        """The caller has left: nothing stays taken."""
        destination = self.destination
        if self.elder is not None:
            self._call_off_elder(now, _ABANDONED)
        self._take_slot_again()
        state, self._state = self._state, _IDLE
        if state is _WAITING:
            destination.limiter.waiting.leave(self, now)
        elif state is _BACKING_OFF:
            destination.budget.refund(self._paid_at)
        elif state is _IN_FLIGHT:
            destination.limiter.deserted(now - self.began, now)
            self._orphan(self._kind, self._generation, self.attempt_began, _ABANDONED, now)

    def retract(self, now: float) -> None:
        """The attempt could not be made, for a reason of the host's own: nothing was sent, and nothing learned.

        It is as if it had not been admitted; only what a retry has cost stays paid. An elder attempt is the current one
        again.
        """
        destination = self.destination
        self._take_slot_again()
        self._state = _IDLE
        self.attempts -= 1
        destination.limiter.released()
        destination.breaker.inconclusive(self._generation, now)
        destination.attempts_lately.take_back(self.attempt_began)
        if self._kind == _FIRST:
            destination.requests_lately.take_back(self.attempt_began)
            destination.budget.requests.take_back(self.attempt_began)
        if self.elder is not None:
            self._promote_elder()

    def finish(self, now: float, result: Result) -> None:
        """The exchange is over, its response delivered or not: count the request."""
        tally = self.destination.tally
        tally.requests[result] += 1
        seconds = now - self.began
        histogram = tally.request_seconds
        histogram.counts[bisect_left(histogram.bounds, seconds)] += 1
        histogram.sum += seconds
        if seconds > histogram.recent:  # noqa: PLR1730 - max() takes 60 ns more, twice a request
            histogram.recent = seconds
        if self.attempts > 1 and result == _SUCCESS:
            tally.retry_successes += 1

    # Private, in the order in which they are called

    def _hold_back(self, now: float) -> Admission | Refusal:
        """The breaker lets nothing through now: wait for its next probe, if that is soon."""
        since = now if self._state is _NEW else self.waiting_since
        until = self.destination.breaker.held_until(since, now)
        if until is None:
            return self._never_sent(_BREAKER_OPEN)
        return self._wait(now, until, _BREAKER_OPEN)

    def _wait(self, now: float, until: float, otherwise: Refusal) -> Admission | Refusal:
        if self._state is _NEW:
            self.waiting_since = now
        self._state = _WAITING
        self.wake_at = min(until, self.deadline - self.policy.retry.min_remaining)
        if self.destination.limiter.enqueue(self, now):
            return _WAIT
        return self._never_sent(otherwise)

    def _give_up(self, reason: Refusal) -> Refusal:
        self.destination.limiter.waiting.remove_waiter(self)
        return self._never_sent(reason)

    def _never_sent(self, reason: Refusal) -> Refusal:
        self._state = _IDLE
        self.destination.tally.refusals[reason] += 1
        return reason

    def _begin_attempt(self, now: float, kind: int) -> None:
        destination = self.destination
        self.attempts += 1
        self.attempt_number = self.attempts
        self.attempt_began = now
        self._kind = kind
        self._state = _IN_FLIGHT
        self._is_late = False
        self._generation = destination.breaker.generation
        limiter = destination.limiter
        limiter.in_flight += 1
        if limiter.stalls_at == _NEVER:
            limiter.stalls_at = now + limiter.silence
        window = destination.attempts_lately
        if now >= window.edge:
            window.advance(now)
        window.newest += 1

    def _take_slot_again(self) -> None:
        """Whatever happens to an upload next, it happens to an attempt with a slot."""
        if self._state is _UPLOADING:
            self._state = _IN_FLIGHT
            self.destination.limiter.in_flight += 1

    def _fail(self, now: float, fault: Fault) -> None:
        self._take_slot_again()
        self._state = _IDLE
        self._record_fault(self._kind, self._generation, self.attempt_began, fault, now)

    def _record_fault(self, kind: int, generation: int, began: float, fault: Fault, now: float) -> None:
        destination = self.destination
        destination.tally.attempts[kind][_FAULT] += 1
        destination.tally.attempt_seconds.observe(now - began)
        if fault in _FAST_FAULTS:
            destination.breaker.failure(generation, now)
            destination.limiter.failed(now)
        else:
            destination.breaker.inconclusive(generation, now)
            destination.limiter.timed_out(now - began, self.policy.per_attempt_timeout, now)

    def _record_failing_status(self, status: int, retry_after: float | None, generation: int, now: float) -> None:
        destination = self.destination
        if retry_after is not None:
            destination.tally.retry_after_seconds.observe(retry_after)
        if status in self.policy.breaker.statuses:
            destination.breaker.failure(generation, now)
        elif status == TOO_MANY_REQUESTS:
            destination.breaker.inconclusive(generation, now)
        else:
            destination.breaker.success(generation, now)
        destination.limiter.failed(now)

    def _late_answer(self, seconds: float, now: float) -> None:
        self.lateness.learn(seconds, now)
        self.destination.tally.late_answers += 1

    def _count_elder(self, elder: LateAttempt, result: int, now: float) -> None:
        tally = self.destination.tally
        tally.attempts[elder.kind][result] += 1
        tally.attempt_seconds.observe(now - elder.began)

    def _promote_elder(self) -> None:
        """The retry has come to nothing: the elder attempt is the current one again."""
        assert self.elder is not None
        elder, self.elder = self.elder, None
        self.attempt_number = elder.number
        self.attempt_began = elder.began
        self._kind = elder.kind
        self._generation = elder.generation
        self._is_late = True
        self._state = _IN_FLIGHT

    def _call_off_elder(self, now: float, result: int) -> None:
        assert self.elder is not None
        elder, self.elder = self.elder, None
        self._orphan(elder.kind, elder.generation, elder.began, result, now)

    def _call_off_retry(self, now: float) -> None:
        self._take_slot_again()
        if not self._void_grant() and self._state is _IN_FLIGHT:
            self._orphan(self._kind, self._generation, self.attempt_began, _SUPERSEDED, now)
        self._state = _IDLE

    def _void_grant(self) -> bool:
        """Give back the token of a retry that has not left. False: it has, or there was none."""
        if self._state is not _BACKING_OFF:
            return False
        self.destination.budget.refund(self._paid_at)
        self._state = _IDLE
        return True

    def _orphan(self, kind: int, generation: int, began: float, result: int, now: float) -> None:
        """Nothing waits for the answer of this attempt any more, but the dependency may go on working on it."""
        destination = self.destination
        seconds = now - began
        destination.limiter.orphan(seconds, self.policy.per_attempt_timeout, now)
        destination.breaker.inconclusive(generation, now)
        destination.tally.attempts[kind][result] += 1
        destination.tally.attempt_seconds.observe(seconds)

    def _judge(
        self, now: float, cause: str, retry_after: float | None, *, sent: bool, peer_refused: bool = False
    ) -> Verdict:
        """Free vetoes first, the token last; the first that holds is the reason."""
        destination = self.destination
        retry = self.policy.retry
        pushback = retry.retry_after
        sent = sent or self._sent
        refusal: Refusal | None = None
        delay = 0.0
        if self.committed:
            refusal = Refusal.COMMITTED
        elif peer_refused:
            refusal = Refusal.PEER_REFUSED
        elif not self.replayable:
            refusal = Refusal.NOT_REPLAYABLE
        elif sent and now + pushed_back(pushback, retry_after, 0.0) > self.repeatable_until:
            refusal = Refusal.NOT_IDEMPOTENT
        elif self._tries >= retry.max_attempts:
            refusal = Refusal.ATTEMPTS_EXHAUSTED
        elif too_long(pushback, retry_after):
            refusal = Refusal.RETRY_AFTER_TOO_LONG
        else:
            delay = pushed_back(pushback, retry_after, full_jitter(retry.backoff, self._tries, destination.rand))
            if sent and now + delay > self.repeatable_until:
                refusal = Refusal.NOT_IDEMPOTENT
            elif now + delay > min(self.deadline - retry.min_remaining, self.began + retry.window):
                refusal = Refusal.DEADLINE
            elif destination.draining:
                refusal = Refusal.DRAINING
            elif destination.breaker.refuses(now):
                refusal = _BREAKER_OPEN
            elif self._crowded(now):
                refusal = _CONCURRENCY_LIMIT
            elif not destination.budget.withdraw(now):
                refusal = Refusal.BUDGET_EXHAUSTED
        if refusal is not None:
            destination.tally.refusals[refusal] += 1
            return REFUSED[refusal]
        self._paid_at = now
        self._sent = sent
        self._cause = cause
        self._state = _BACKING_OFF
        destination.tally.backoff_seconds.observe(delay)
        return Retry(delay, cause)

    def _crowded(self, now: float) -> bool:
        """No slot for a retry: the limit is reached, or originals are waiting."""
        destination = self.destination
        return bool(destination.limiter.waiting) or not destination.has_capacity(now)
