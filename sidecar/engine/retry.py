"""The judgement: one request over all its attempts, and whether another one is made."""

from bisect import bisect_left
from enum import Enum
from typing import Final

from sidecar.engine.backoff import full_jitter
from sidecar.engine.breaker import CLOSED, HALF_OPEN, RECOVERING
from sidecar.engine.destination import Destination
from sidecar.engine.outcome import AttemptKind, Fault, Result, result_of
from sidecar.engine.pushback import pushed_back, too_long
from sidecar.engine.verdict import DELIVER, REFUSED, Refusal, Retry, Verdict


class Admission(Enum):
    """What becomes of an attempt that wants to leave: it does, or its request waits for a place."""

    GO = "go"
    WAIT = "wait"


# Bound once: a member looked up on its class costs 50 ns in CPython 3.11, a global 2 ns.
_GO: Final = Admission.GO
_WAIT: Final = Admission.WAIT
_FIRST: Final = int(AttemptKind.FIRST)
_RETRY: Final = int(AttemptKind.RETRY)
_RECONNECT: Final = int(AttemptKind.RECONNECT)
_SUCCESS: Final = int(Result.SUCCESS)
_FAULT: Final = int(Result.FAULT)
_ABANDONED: Final = int(Result.ABANDONED)
_BREAKER_OPEN: Final = Refusal.BREAKER_OPEN
_CONCURRENCY_LIMIT: Final = Refusal.CONCURRENCY_LIMIT

_TIMER_TOLERANCE_SECONDS: Final = (
    0.02  # seconds by which a host's timers may be late without making a granted retry too late
)

_NEW, _WAITING, _IN_FLIGHT, _BACKING_OFF, _IDLE = range(5)
_ADMITTING: Final = frozenset({CLOSED, RECOVERING})
_FAST_FAULTS: Final = frozenset({Fault.CONNECT_FAILURE, Fault.RESET, Fault.PROTOCOL})


class Exchange:
    """One request and its attempts. The host calls in the order in which things happen, and does what it is told.

    `replayable` and `committed` are the host's to set; it may also move `deadline` and `attempt_began` forward.
    All instants are monotonic seconds. `repeatable_until` is the last instant at which a request that may have been
    executed may be sent again: infinity for an idempotent method, minus infinity for an unsafe one.
    """

    __slots__ = (
        "_cause",
        "_generation",
        "_kind",
        "_paid_at",
        "_reconnected",
        "_sent",
        "_slow",
        "_state",
        "_tries",
        "attempt_began",
        "attempts",
        "began",
        "committed",
        "deadline",
        "destination",
        "host",
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
    _slow: bool
    _cause: str
    _paid_at: float
    wake_at: float
    host: object
    """The host's own object for this request while it waits; the engine does not look at it."""

    def __init__(self, destination: Destination, now: float, repeatable_until: float) -> None:
        self.destination = destination
        policy = self.policy = destination.policy
        self.began = self.attempt_began = self.waiting_since = now
        self.deadline = now + policy.timeout
        self.repeatable_until = repeatable_until
        self.attempts = 0
        self.replayable = True
        self.committed = False
        self._state = _NEW
        self._sent = False  # by an attempt that is to be repeated
        self._reconnected = False

    # Going out

    def admit(self, now: float) -> Admission | Refusal:
        """Ask to send the original.

        GO: attempt 1 has begun and is paid in. WAIT: it stands in the line, for a place or for what the breaker's probe
        comes to; call `wake` at `wake_at` if it still does then. A Refusal: it is never sent.
        """
        destination = self.destination
        breaker = destination.breaker
        limiter = destination.limiter
        fresh = self._state == _NEW
        if breaker._state is not CLOSED:  # noqa: SLF001 - a property here would cost 50 ns a request
            if not breaker.admit(now):
                return self._hold_back(now)
            probing = breaker.state(now) is HALF_OPEN
            crowded = not destination.has_capacity(now)
            stretchable = breaker.state(now) is CLOSED
        else:
            probing = False
            crowded = limiter.in_flight >= int(limiter.limit) and limiter.crowded(now)
            stretchable = True
        if (
            not probing  # a probe need not wait for attempts that hang
            and (crowded or (limiter.waiting and fresh))
            and not (not limiter.waiting and stretchable and limiter.grow_if_healthy(now))
        ):
            return self._wait(now, self.deadline - self.policy.retry.min_remaining, _CONCURRENCY_LIMIT)
        # Two windows count this request; `Window.add` without its call is 50 ns less, for each of five on the path.
        window = destination.budget.requests
        if now >= window.edge:
            window.advance(now)
        window.newest += 1
        window.total += 1
        window = destination.requests_lately
        if now >= window.edge:
            window.advance(now)
        window.newest += 1
        window.total += 1
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
        """The back-off is over. GO: the retry has begun. A Refusal: it may not leave, and its token is given back."""
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
            return refusal
        destination.budget.depart(self._paid_at, now)
        retries = destination.tally.retries
        retries[self._cause] = retries.get(self._cause, 0) + 1
        self._tries += 1
        self._begin_attempt(now, _RETRY)
        return _GO

    def reconnect(self, now: float) -> bool:
        """The pooled connection turned out to be stale. True: send the request once more, on a fresh connection.

        At most once, only what is safe to repeat; in the same place, free of charge, and no retry.
        """
        if self._reconnected or self.committed or not self.replayable or now > self.repeatable_until:
            return False
        self._reconnected = self._sent = True
        tally = self.destination.tally
        tally.attempts[self._kind][_FAULT] += 1
        tally.attempt_seconds.observe(now - self.attempt_began)
        self.destination.limiter.in_flight -= 1  # taken again below
        generation = self._generation
        self._begin_attempt(now, _RECONNECT)
        self._generation = generation  # nobody asked the breaker: it stays the attempt that was admitted then
        return True

    # Coming back

    def on_status(self, now: float, status: int, retry_after: float | None) -> Verdict:
        """A response head came: the attempt is over. `retry_after` in seconds, None without a valid one."""
        destination = self.destination
        tally = destination.tally
        seconds = now - self.attempt_began
        histogram = tally.attempt_seconds
        histogram.counts[bisect_left(histogram.bounds, seconds)] += 1
        histogram.sum += seconds
        if seconds > histogram.recent:  # noqa: PLR1730 - max() takes 60 ns more, twice a request
            histogram.recent = seconds
        self._state = _IDLE
        if status < 400:
            tally.attempts[self._kind][_SUCCESS] += 1
        else:
            tally.attempts[self._kind][result_of(status)] += 1
        if status not in destination.failing:
            destination.breaker.success(self._generation, now)
            if self._slow:
                destination.limiter.released()
            else:
                destination.limiter.answered(seconds, now)
            return DELIVER
        if retry_after is not None:
            tally.retry_after_seconds.observe(retry_after)
        policy = self.policy
        if status in policy.breaker.statuses:
            destination.breaker.failure(self._generation, now)
        elif status == 429:
            destination.breaker.inconclusive(self._generation, now)
        else:
            destination.breaker.success(self._generation, now)
        destination.limiter.failed(now)
        if status not in policy.retry.statuses:
            return DELIVER
        return self._judge(now, f"status_{status}", retry_after, sent=True)

    def on_fault(self, now: float, fault: Fault, *, sent: bool) -> Verdict:
        """No answer came: the attempt is over. `sent`: a byte of the request may have reached the endpoint."""
        self._fail(now, fault)
        if fault not in self.policy.retry.faults:
            return DELIVER
        return self._judge(now, fault.value, None, sent=sent)

    def on_slow(self, now: float) -> Verdict:
        """`per_attempt_timeout` has passed without a head.

        A Retry: the attempt is over, give it up. Otherwise leave it running to the deadline: it is counted as slow, and
        its answer may still come.
        """
        destination = self.destination
        if not self._slow:
            self._slow = True
            destination.limiter.fall(now)
            destination.breaker.inconclusive(self._generation, now)
        if Fault.TIMEOUT not in self.policy.retry.faults:
            return DELIVER
        destination.limiter.in_flight -= 1  # judged as if its place were free, for a retry would take just that
        verdict = self._judge(now, "timeout", None, sent=True)
        destination.limiter.in_flight += 1
        if isinstance(verdict, Retry):
            self._fail(now, Fault.TIMEOUT)
            self._state = _BACKING_OFF
        return verdict

    def abandon(self, now: float) -> None:
        """The caller has left: nothing stays taken."""
        destination = self.destination
        state, self._state = self._state, _IDLE
        if state == _WAITING:
            destination.limiter.waiting.leave(self, now)
        elif state == _BACKING_OFF:
            destination.budget.refund(self._paid_at)
        elif state == _IN_FLIGHT:
            seconds = now - self.attempt_began
            destination.limiter.orphan(seconds, self.policy.per_attempt_timeout, now)
            destination.breaker.inconclusive(self._generation, now)
            destination.tally.attempts[self._kind][_ABANDONED] += 1
            destination.tally.attempt_seconds.observe(seconds)

    def retract(self, now: float) -> None:
        """The attempt could not be made, for a reason of the host's own: nothing was sent, and nothing learned.

        It is as if it had not been admitted; only what a retry has cost stays paid.
        """
        destination = self.destination
        self._state = _IDLE
        self.attempts -= 1
        destination.limiter.released()
        destination.breaker.inconclusive(self._generation, now)
        destination.attempts_lately.take_back(self.attempt_began)
        if self._kind == _FIRST:
            destination.requests_lately.take_back(self.attempt_began)
            destination.budget.requests.take_back(self.attempt_began)

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
        since = now if self._state == _NEW else self.waiting_since
        until = self.destination.breaker.held_until(since, now)
        if until is None:
            return self._never_sent(_BREAKER_OPEN)
        return self._wait(now, until, _BREAKER_OPEN)

    def _wait(self, now: float, until: float, otherwise: Refusal) -> Admission | Refusal:
        if self._state == _NEW:
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
        self.attempt_began = now
        self._kind = kind
        self._state = _IN_FLIGHT
        self._slow = False
        self._generation = destination.breaker.generation
        destination.limiter.in_flight += 1
        window = destination.attempts_lately
        if now >= window.edge:
            window.advance(now)
        window.newest += 1
        window.total += 1

    def _fail(self, now: float, fault: Fault) -> None:
        destination = self.destination
        destination.tally.attempts[self._kind][_FAULT] += 1
        destination.tally.attempt_seconds.observe(now - self.attempt_began)
        self._state = _IDLE
        if fault in _FAST_FAULTS:
            destination.breaker.failure(self._generation, now)
        else:
            destination.breaker.inconclusive(self._generation, now)
        if self._slow:
            destination.limiter.released()
        else:
            destination.limiter.failed(now)

    def _judge(self, now: float, cause: str, retry_after: float | None, *, sent: bool) -> Verdict:
        """Free vetoes first, the token last; the first that holds is the reason."""
        destination = self.destination
        retry = self.policy.retry
        pushback = retry.retry_after
        sent = sent or self._sent
        refusal: Refusal | None = None
        delay = 0.0
        if self.committed:
            refusal = Refusal.COMMITTED
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
            elif now + delay > self.deadline - retry.min_remaining:
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
        """No place for a retry: the limit is reached, or originals are waiting."""
        destination = self.destination
        return bool(destination.limiter.waiting) or not destination.has_capacity(now)
