"""The outcome of an attempt, in the engine's terms."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from sidecar.engine.outcome import Fault

FaultWord = Literal["connect_failure", "reset", "timeout", "protocol"]


class Failure(Struct, frozen=True):
    """A failed attempt: a `status` (an HTTP status, or the one that the failure amounts to), or a `fault`.

    `retry_after` is the destination's wish to wait, in seconds. `sent` tells whether a byte of the request may have
    reached the destination; a failure that was not sent may be tried again whatever the call does.
    Raises ValueError unless exactly one of `status` and `fault` is given.
    """

    status: int | None = None
    fault: FaultWord | None = None
    retry_after: float | None = None
    sent: bool = True

    def __post_init__(self) -> None:
        if (self.status is None) == (self.fault is None):
            raise ValueError(f"status: must be given, or fault, and not both, got {self.status!r} and {self.fault!r}")
        if self.status is not None and not 100 <= self.status <= 599:
            raise ValueError(f"status: must be between 100 and 599, got {self.status!r}")
        if self.status is not None and not self.sent:
            raise ValueError("sent: must be True where there is a status: it was answered")
        if self.retry_after is not None and not self.retry_after >= 0:
            raise ValueError(f"retry_after: must not be negative, got {self.retry_after!r}")


Classify = Callable[[Exception], Failure | None]
"""An exception of an attempt as a failure; None: it is no failure of the destination, and is raised at once."""


def classify_os_errors(error: Exception) -> Failure | None:
    """The exceptions of Python's own sockets. TimeoutError, reset and aborted connections may have been executed."""
    match error:
        case ConnectionRefusedError():
            return Failure(fault="connect_failure", sent=False)
        case ConnectionError():
            return Failure(fault="reset")
        case TimeoutError():
            return Failure(fault="timeout")
    return None


def fault_of(failure: Failure) -> Fault:
    """The engine's fault. `failure.fault` must not be None."""
    return Fault(failure.fault)
