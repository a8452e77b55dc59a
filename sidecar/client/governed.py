"""One destination of the process, and the calls to it."""

import time
from collections.abc import Awaitable, Callable, Coroutine
from importlib import import_module
from itertools import count
from threading import Event, Lock
from typing import Final, NoReturn, TypeVar, cast

from sidecar.client.attempt import Attempt
from sidecar.client.call import ANSWERED_STATUS, AttemptOutcome, GovernedCall
from sidecar.client.dialect import USUAL_DIALECT, ClientKeyDialect
from sidecar.client.errors import CallFailed, CallRefused, CallTimedOut
from sidecar.client.failure import Classify, classify_os_errors
from sidecar.client.observer import CallObserver
from sidecar.client.safety import Safety
from sidecar.client.threads import run_in_thread
from sidecar.engine.destination import Destination
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.verdict import Refusal

T = TypeVar("T")

_REFUSED_DETAIL: Final = {
    Refusal.BREAKER_OPEN: "it keeps failing, and is left alone for a moment",
    Refusal.CONCURRENCY_LIMIT: "no slot became free in time",
}


class GovernedDestination:
    """A destination's engine, shared by all calls of all threads and tasks to it. Made by `Retries`.

    Its lock is held for microseconds: while the engine decides, never while an attempt runs.
    """

    __slots__ = ("_calls", "_clock", "_lock", "_observer", "dialect", "engine", "name")

    def __init__(
        self,
        name: str,
        policy: DestinationPolicy,
        rand: Callable[[], float],
        observer: CallObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
        dialect: ClientKeyDialect = USUAL_DIALECT,
    ) -> None:
        self.name = name
        self.dialect = dialect
        self.engine = Destination(name, policy, rand, clock())
        self._clock = clock
        self._observer = observer
        self._lock = Lock()
        self._calls = count(1)

    @property
    def policy(self) -> DestinationPolicy:
        """The policy in force."""
        return self.engine.policy

    def call(
        self,
        function: Callable[[Attempt], T],
        *,
        idempotent: bool = False,
        idempotency_key: str | bool = False,
        classify: Classify = classify_os_errors,
    ) -> T:
        """Call `function` once for each attempt, in this thread, and return what the last one returns.

        A call that may have been executed is repeated only if it is declared `idempotent`, or has an `idempotency_key`
        (True: a random one) and the destination honours keys. `function` must pass `attempt.remaining` on as its
        timeout, since a blocking attempt cannot be ended from outside.

        Raises CallFailed where a failure by `classify` is not tried again, CallRefused where nothing was sent, and any
        other exception of `function` as it is.
        """
        safety = Safety.of(idempotent=idempotent, idempotency_key=idempotency_key, dialect=self.dialect)

        def make(attempt: Attempt) -> AttemptOutcome[T]:
            try:
                return AttemptOutcome(value=function(attempt))
            except Exception as error:  # noqa: BLE001 - raised again when the call ends
                return _failed(error, classify)

        return self._result(*self.run(make, lambda _: None, safety))

    async def call_async(
        self,
        function: Callable[[Attempt], Awaitable[T]],
        *,
        idempotent: bool = False,
        idempotency_key: str | bool = False,
        classify: Classify = classify_os_errors,
    ) -> T:
        """`call` for a coroutine function.

        An attempt that is late goes on beside its retry, so `function` may run twice at once; the first good answer
        wins, and the other is cancelled. At the deadline whatever still runs is cancelled, and CallTimedOut raised.
        """
        safety = Safety.of(idempotent=idempotent, idempotency_key=idempotency_key, dialect=self.dialect)

        async def make(attempt: Attempt) -> AttemptOutcome[T]:
            try:
                return AttemptOutcome(value=await function(attempt))
            except Exception as error:  # noqa: BLE001 - raised again when the call ends
                return _failed(error, classify)

        async def dispose(_: AttemptOutcome[T]) -> None:
            pass

        return self._result(*await self.run_async(make, dispose, safety))

    # For adapters: a call to its end, with the outcome that is delivered; None where there is none

    def run(
        self,
        make: Callable[[Attempt], AttemptOutcome[T]],
        dispose: Callable[[AttemptOutcome[T]], None],
        safety: Safety,
    ) -> tuple[GovernedCall[T], AttemptOutcome[T] | None]:
        """Run a call in this thread: see `threads`."""
        woken = Event()
        call: GovernedCall[T] = self._call(woken.set, safety, overlapping=False)
        attempt_of = self._attempts(call, safety)

        def make_attempt(number: int) -> AttemptOutcome[T]:
            began = self._tell_attempt(call, number)
            outcome = make(attempt_of(number))
            self._tell_outcome(call, number, outcome.label, began)
            return outcome

        try:
            run_in_thread(call, make_attempt, dispose, woken, self._clock)
        finally:
            self._tell_end(call)
        return call, call.outcomes.get(call.delivered)

    async def run_async(
        self,
        make: Callable[[Attempt], Coroutine[None, None, AttemptOutcome[T]]],
        dispose: Callable[[AttemptOutcome[T]], Awaitable[None]],
        safety: Safety,
        *,
        overlapping: bool = True,
    ) -> tuple[GovernedCall[T], AttemptOutcome[T] | None]:
        """Run a call in this task: see `tasks`. `overlapping`: two attempts can be made at once."""
        # Imported at the first use: asyncio is half of what the import of this package would take.
        tasks = import_module("sidecar.client.tasks")
        wakener = tasks.Wakener()
        call: GovernedCall[T] = self._call(wakener.notify, safety, overlapping=overlapping)
        attempt_of = self._attempts(call, safety)

        async def make_attempt(number: int) -> AttemptOutcome[T]:
            began = self._tell_attempt(call, number)
            label = "called_off"
            try:
                outcome = await make(attempt_of(number))
                label = outcome.label
            finally:
                self._tell_outcome(call, number, label, began)
            return outcome

        try:
            await tasks.run_in_task(call, make_attempt, dispose, wakener, self._clock)
        finally:
            self._tell_end(call)
        return call, call.outcomes.get(call.delivered)

    def failure_of(
        self,
        call: GovernedCall[T],
        outcome: AttemptOutcome[T] | None,
        refused: type[CallRefused] = CallRefused,
        timed_out: type[CallTimedOut] = CallTimedOut,
    ) -> CallFailed:
        """The exception of a call that has no good outcome; adapters give subclasses that their library knows."""
        attempts = call.exchange.attempts
        if call.delivered == 0:
            detail = _REFUSED_DETAIL.get(call.refusal, "it was refused") if call.refusal else "it was refused"
            error = refused(
                f"{self.name}: not sent: {detail}", destination=self.name, attempts=attempts, refusal=call.refusal
            )
            error.retry_after = self.engine.breaker.retry_after(self._clock())
            return error
        tried = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        why = "" if call.refusal is None else f", not tried again: {call.refusal.value}"
        if outcome is None:
            detail = (
                f"{self.name}: no answer within {self.policy.timeout:g} s ({tried}{why}); it may have been executed"
            )
            return timed_out(detail, destination=self.name, attempts=attempts, refusal=call.refusal)
        return CallFailed(
            f"{self.name}: {outcome.label} ({tried}{why})",
            destination=self.name,
            attempts=attempts,
            refusal=call.refusal,
            last_response=outcome.response,
        )

    # Private

    def _result(self, call: GovernedCall[T], outcome: AttemptOutcome[T] | None) -> T:
        if outcome is not None and outcome.error is None:
            return cast("T", outcome.value)
        if outcome is not None and outcome.failure is None:
            _raise(outcome.error)
        raise self.failure_of(call, outcome) from (None if outcome is None else outcome.error)

    def _call(self, notify: Callable[[], None], safety: Safety, *, overlapping: bool) -> GovernedCall[T]:
        now = self._clock()
        return GovernedCall(
            self.engine,
            self._lock,
            notify,
            number=next(self._calls),
            now=now,
            repeatable_until=safety.repeatable_until(self.policy, now),
            replayable=safety.replayable,
            overlapping=overlapping,
        )

    def _attempts(self, call: GovernedCall[T], safety: Safety) -> Callable[[int], Attempt]:
        return lambda number: Attempt(number, call.exchange.deadline, safety.idempotency_key, self._clock, self.dialect)

    def _tell_attempt(self, call: GovernedCall[T], number: int) -> float:
        began = self._clock()
        if self._observer is not None:
            self._observer.on_attempt(self.name, call.number, number, began)
        return began

    def _tell_outcome(self, call: GovernedCall[T], number: int, label: str, began: float) -> None:
        if self._observer is not None:
            self._observer.on_outcome(self.name, call.number, number, label, self._clock() - began)

    def _tell_end(self, call: GovernedCall[T]) -> None:
        if self._observer is not None:
            refusal = None if call.refusal is None else call.refusal.value
            self._observer.on_end(self.name, call.number, call.exchange.attempts, refusal)


def _failed(error: Exception, classify: Classify) -> AttemptOutcome[T]:
    failure = classify(error)
    return AttemptOutcome(error=error, failure=failure, status=ANSWERED_STATUS)


def _raise(error: Exception | None) -> NoReturn:
    assert error is not None
    raise error
