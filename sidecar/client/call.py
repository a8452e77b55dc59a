"""One governed call without its input and output: what is to be sent, called off and awaited next.

The driver decides through the engine; what it asks for is noted here, and carried out by the runner of the call, a
thread (`threads`) or a task (`tasks`).
"""

import math
from collections.abc import Callable
from threading import Lock
from typing import Final, Generic, TypeVar

from sidecar.client.failure import Failure, fault_of
from sidecar.engine.destination import Destination
from sidecar.engine.driver import Driver
from sidecar.engine.retry import RetryState
from sidecar.engine.verdict import Refusal

SUCCESS_STATUS: Final = 200
"""An attempt that returned counts as this, where there is no status."""
ANSWERED_STATUS: Final = 400
"""An exception that is no failure of the destination counts as this: it answered, and nothing is tried again."""

T = TypeVar("T")


class AttemptOutcome(Generic[T]):
    """The end of one attempt: a `value`, or an `error`; `failure` says what it means, None for nothing bad.

    `response` is the library's, where there is one.
    """

    __slots__ = ("error", "failure", "response", "status", "value")

    def __init__(
        self,
        *,
        value: T | None = None,
        error: Exception | None = None,
        failure: Failure | None = None,
        response: object = None,
        status: int = SUCCESS_STATUS,
    ) -> None:
        self.value = value
        self.error = error
        self.failure = failure
        self.response = response
        self.status = status

    @property
    def label(self) -> str:
        """For observers: a status, a fault's word, or `success`."""
        if self.failure is None:
            return "success" if self.status == SUCCESS_STATUS else str(self.status)
        return str(self.failure.fault or self.failure.status)


class GovernedCall(Generic[T]):
    """The host of one driver. `notify` is called, from any thread, whenever there is something new to do.

    `outcomes` has what each attempt came to, by number, as long as it may still be delivered.
    """

    __slots__ = (
        "_driver",
        "_lock",
        "_notify",
        "delivered",
        "exchange",
        "number",
        "outcomes",
        "over",
        "refusal",
        "timer_at",
        "to_call_off",
        "to_send",
    )

    def __init__(
        self,
        destination: Destination,
        lock: Lock,
        notify: Callable[[], None],
        *,
        number: int,
        now: float,
        repeatable_until: float,
        replayable: bool,
        overlapping: bool,
    ) -> None:
        self.exchange = RetryState(destination, now, repeatable_until)
        self.exchange.replayable = replayable
        self._driver = Driver(self, self.exchange, overlapping=overlapping)
        self._lock = lock
        self._notify = notify
        self.number = number
        self.timer_at = math.inf
        self.to_send: list[int] = []
        self.to_call_off: list[int] = []
        self.outcomes: dict[int, AttemptOutcome[T]] = {}
        self.over = False
        self.delivered = 0
        """The number of the attempt whose outcome is the call's; 0: none, it was refused."""
        self.refusal: Refusal | None = None

    # What the runner tells. The engine of a destination is no thread's own, so each of these takes its lock.

    def begin(self, now: float) -> None:
        """Ask for admission."""
        with self._lock:
            self._driver.begin(now)

    def on_timer(self, now: float) -> None:
        """`timer_at` has come."""
        with self._lock:
            self._driver.on_timer(now)

    def on_outcome(self, number: int, outcome: AttemptOutcome[T], now: float) -> None:
        """Attempt `number` ended. What counts of it is `outcomes`' from here on, until it is called off."""
        failure = outcome.failure
        with self._lock:
            self.outcomes[number] = outcome
            if failure is not None and failure.fault is not None:
                self._driver.on_fault(number, now, fault_of(failure), sent=failure.sent)
            elif failure is not None and failure.status is not None:
                self._driver.on_status(number, now, failure.status, failure.retry_after)
            else:
                self._driver.on_status(number, now, outcome.status)

    def abandon(self, now: float) -> None:
        """Give up the call: its caller waits no longer. A call that is over stays as it is."""
        with self._lock:
            self._driver.abandon(now)

    def take_to_send(self) -> list[int]:
        """The attempts to make now; the list is empty afterwards."""
        with self._lock:
            numbers, self.to_send = self.to_send, []
            return numbers

    def take_to_call_off(self) -> list[int]:
        """The attempts to end, or to forget, now; the list is empty afterwards."""
        with self._lock:
            numbers, self.to_call_off = self.to_call_off, []
            return numbers

    # DriverHost

    def send(self, number: int, now: float) -> None:
        """See `DriverHost`."""
        del now
        self.to_send.append(number)
        self._notify()

    def call_off(self, number: int) -> None:
        """See `DriverHost`."""
        self.to_call_off.append(number)
        self._notify()

    def arm(self, at: float) -> None:
        """See `DriverHost`."""
        self.timer_at = at
        self._notify()

    def deliver(self, number: int, refusal: Refusal | None, now: float) -> None:
        """See `DriverHost`."""
        del now
        self.over = True
        self.delivered = number
        self.refusal = refusal
        self._notify()

    def refuse(self, refusal: Refusal, now: float) -> None:
        """See `DriverHost`."""
        del now
        self.over = True
        self.refusal = refusal
        self._notify()
