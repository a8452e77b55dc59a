"""One request from admission to its end, for a host that makes attempts and keeps time.

`RetryState` decides; a host sends, waits and delivers. The order of calls between them is the same for every host:
admit, begin an attempt, become late, back off, depart, call off, wake those who wait. It is written down here once. The
client library and forecasts (`sidecar explain`) drive their requests with it. The proxy has a phase table of its own,
because a call between objects costs its hot path 0.1 µs, and `tests/vectors` holds both to the same cases. So has the
simulator, for its speed; `tests/simulator/test_conformance.py` holds it to the driver.
"""

from enum import Enum
from typing import Final, Protocol, assert_never

from sidecar.engine.destination import Destination
from sidecar.engine.outcome import Fault, Result, result_of
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Await, Deliver, Refusal, Retry, Verdict


class DriverHost(Protocol):
    """The side that acts. Every method is called from inside a method of the driver; none may call the driver back."""

    def send(self, number: int, now: float) -> None:
        """Make attempt `number`. Its end is told by `Driver.on_status` or `Driver.on_fault`, never from in here."""

    def call_off(self, number: int) -> None:
        """The outcome of attempt `number` is not wanted: end it if it is under way, drop what is kept of it."""

    def arm(self, at: float) -> None:
        """Call `Driver.on_timer` at this instant, monotonic seconds. Replaces the instant given before."""

    def deliver(self, number: int, refusal: Refusal | None, now: float) -> None:
        """The end: hand the outcome of attempt `number` to the caller. `refusal`: why it is not tried again."""

    def refuse(self, refusal: Refusal, now: float) -> None:
        """The end: the request was never sent."""


class DriverPhase(Enum):
    """The state of a driver."""

    WAITING = "waiting"
    """For a slot, or for the breaker's probe."""
    IN_FLIGHT = "in_flight"
    """One attempt is under way, or two: the current one, and an elder that is late."""
    BACKING_OFF = "backing_off"
    """A retry is granted. What came of the last attempt is kept, or the last attempt, late, is still under way."""
    OVER = "over"


TIMER_SECONDS: Final = 0.001
"""The least time between two looks at a waiting request: a timer that fires an instant early must not spin."""
_GO: Final = Admission.GO
_WAIT: Final = Admission.WAIT


class Driver:
    """The transitions of one request.

    ======================= ============================ ===========================================================
    event                   phase                        next
    ======================= ============================ ===========================================================
    begin, on_turn          WAITING                      IN_FLIGHT, WAITING, or OVER (refused)
    on_timer                WAITING                      the same
    on_timer                IN_FLIGHT, late              BACKING_OFF beside the elder, or IN_FLIGHT to the deadline
    on_timer                BACKING_OFF                  IN_FLIGHT, or OVER with what was kept
    on_timer                IN_FLIGHT, at the deadline   OVER (timeout)
    on_status, on_fault     IN_FLIGHT, BACKING_OFF       OVER, BACKING_OFF, or IN_FLIGHT with the other attempt
    abandon                 any                          OVER
    ======================= ============================ ===========================================================

    Not thread-safe, and neither is the engine below it: all drivers of one destination are called under one lock, or in
    one thread.
    """

    __slots__ = ("_current", "_kept", "_kept_result", "_late", "_overlapping", "_refusal", "exchange", "host", "phase")

    def __init__(self, host: DriverHost, exchange: RetryState, *, overlapping: bool = True) -> None:
        """`overlapping`: the host can have two attempts under way at once. If not, a late attempt is awaited alone."""
        self.host = host
        self.exchange = exchange
        self._overlapping = overlapping
        exchange.host = self
        self.phase = DriverPhase.WAITING
        self._current = 0
        """The number of the attempt in flight, the younger of two; 0: none. The elder's is the exchange's to say."""
        self._kept = 0
        """The number of the attempt whose outcome is delivered if the retry may not leave; 0: none."""
        self._kept_result = Result.FAULT
        self._late = False
        """The current attempt is late, and the engine has been asked about it."""
        self._refusal: Refusal | None = None
        """The reason why the retry of a late attempt was refused."""

    @property
    def elder(self) -> int:
        """The number of the late attempt that goes on beside its retry; 0: none."""
        elder = self.exchange.elder
        return 0 if elder is None else elder.number

    # Events

    def begin(self, now: float) -> None:
        """Ask for admission. Called once, first."""
        self._follow(self.exchange.admit(now), now)
        self._wake(now)

    def on_turn(self, now: float) -> None:
        """The wait queue has given this request its turn."""
        self._follow(self.exchange.admit(now), now)

    def on_timer(self, now: float) -> None:
        """The instant that was armed has come."""
        match self.phase:
            case DriverPhase.WAITING:
                self._follow(self.exchange.wake(now), now)
            case DriverPhase.BACKING_OFF:
                self._depart(now)
            case DriverPhase.IN_FLIGHT:
                self._on_attempt_timer(now)
            case DriverPhase.OVER:
                return
            case _:
                assert_never(self.phase)
        self._wake(now)

    def on_status(self, number: int, now: float, status: int, retry_after: float | None = None) -> None:
        """Attempt `number` was answered. `retry_after`: seconds, None without a valid one."""
        if not self._is_expected(number):
            return
        exchange = self.exchange
        others = [other for other in self._under_way() if other != number]
        if number == self._current:
            verdict = exchange.on_status(now, status, retry_after)
        else:
            verdict = exchange.on_elder_status(now, status, retry_after)
        self._heed(number, verdict, now, result_of(status), others)
        self._wake(now)

    def on_fault(self, number: int, now: float, fault: Fault, *, sent: bool) -> None:
        """Attempt `number` ended without an answer. `sent`: a byte of the request may have reached the endpoint."""
        if not self._is_expected(number):
            return
        exchange = self.exchange
        others = [other for other in self._under_way() if other != number]
        if number == self._current:
            verdict = exchange.on_fault(now, fault, sent=sent)
        else:
            verdict = exchange.on_elder_fault(now, fault, sent=sent)
        self._heed(number, verdict, now, Result.FAULT, others)
        self._wake(now)

    def abandon(self, now: float) -> None:
        """The caller has left: all that is under way is called off."""
        if self.phase is DriverPhase.OVER:
            return
        for number in self._under_way():
            self.host.call_off(number)
        self.exchange.abandon(now)
        self._end(now, Result.ABANDONED)
        self._wake(now)

    # What is done about them

    def _is_expected(self, number: int) -> bool:
        """Whether the outcome of that attempt still counts: it may have been called off an instant ago."""
        return self.phase is not DriverPhase.OVER and number != 0 and number in {self._current, self.elder}

    def _under_way(self) -> list[int]:
        return [number for number in (self.elder, self._current or self._kept) if number]

    def _follow(self, admission: Admission | Refusal, now: float) -> None:
        if admission is _GO:
            self._send(now)
        elif admission is _WAIT:
            self.host.arm(max(self.exchange.wake_at, now + TIMER_SECONDS))
        else:
            assert isinstance(admission, Refusal)
            self._end(now, Result.REFUSED)
            self.host.refuse(admission, now)

    def _send(self, now: float) -> None:
        exchange = self.exchange
        self.phase = DriverPhase.IN_FLIGHT
        self._current = exchange.attempt_number
        self._kept = 0
        self._late = not self._overlapping
        self._refusal = None
        self.host.arm(min(exchange.late_at, exchange.deadline) if self._overlapping else exchange.deadline)
        self.host.send(self._current, now)

    def _on_attempt_timer(self, now: float) -> None:
        exchange = self.exchange
        if now >= exchange.deadline:
            self._time_out(now)
        elif self._late:
            self.host.arm(exchange.deadline)
        elif now < exchange.late_at:  # the destination was learned to be slower in the meantime
            self.host.arm(min(exchange.late_at, exchange.deadline))
        else:
            self._late = True
            verdict = exchange.on_late(now)
            if isinstance(verdict, Retry):
                self.phase = DriverPhase.BACKING_OFF
                self._current = 0
                self.host.arm(now + verdict.delay)
            else:
                assert isinstance(verdict, Deliver)
                self._refusal = verdict.refusal
                self.host.arm(exchange.deadline)

    def _depart(self, now: float) -> None:
        exchange = self.exchange
        elder = self.elder
        admission = exchange.depart(now)
        if admission is _GO:
            if self._kept:
                self.host.call_off(self._kept)
            self._send(now)
            return
        assert isinstance(admission, Refusal)
        if elder:
            self._await_elder(elder, admission)
        else:
            self._deliver(self._kept, admission, now, self._kept_result)

    def _time_out(self, now: float) -> None:
        exchange = self.exchange
        elder = self.elder
        verdict = exchange.on_deadline(now, sent=True)
        assert isinstance(verdict, Deliver)
        if elder:
            self.host.call_off(elder)
        self.host.call_off(self._current)
        self._deliver(self._current, verdict.refusal or self._refusal, now, Result.FAULT)

    def _heed(self, number: int, verdict: Verdict, now: float, result: Result, others: list[int]) -> None:
        """`number` has ended, and the engine has said what follows."""
        match verdict:
            case Deliver():
                for other in others:
                    self.host.call_off(other)
                self._deliver(number, verdict.refusal or self._refusal, now, result)
            case Retry():
                self.phase = DriverPhase.BACKING_OFF
                self._current = 0
                self._kept = number
                self._kept_result = result
                self.host.arm(now + verdict.delay)
            case Await():
                self.host.call_off(number)
                if number == self._current:
                    self._await_elder(self.exchange.attempt_number, self._refusal)
            case _:
                assert_never(verdict)

    def _await_elder(self, number: int, refusal: Refusal | None) -> None:
        """The late attempt is the only one again."""
        self.phase = DriverPhase.IN_FLIGHT
        self._current = number
        self._late = True
        self._refusal = refusal
        self.host.arm(self.exchange.deadline)

    def _deliver(self, number: int, refusal: Refusal | None, now: float, result: Result) -> None:
        self._end(now, result)
        self.host.deliver(number, refusal, now)

    def _end(self, now: float, result: Result) -> None:
        self.phase = DriverPhase.OVER
        self.exchange.finish(now, result)

    def _wake(self, now: float) -> None:
        wake(self.exchange.destination, now)


def wake(destination: Destination, now: float) -> None:
    """Give the slots that became free to the requests whose turn it is, each driven by a Driver.

    For hosts that change a destination by other means than a Driver: a new policy, the end of a drain.
    """
    if not destination.limiter.waiting:
        return
    while (waiter := destination.next_waiter(now)) is not None:
        _driver_of(waiter).on_turn(now)
    if (oldest := destination.next_to_rearm()) is not None:
        driver = _driver_of(oldest)
        driver.host.arm(max(driver.exchange.wake_at, now + TIMER_SECONDS))


def _driver_of(waiter: object) -> Driver:
    assert isinstance(waiter, RetryState)
    driver = waiter.host
    assert isinstance(driver, Driver)
    return driver
