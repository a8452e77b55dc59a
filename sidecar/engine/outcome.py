"""The outcome of an attempt (a status, or a fault: no answer), and the final outcome of a request."""

from enum import Enum, IntEnum


class Fault(Enum):
    """No answer. Whether a byte of the request had left is told beside it, as `sent`."""

    CONNECT_FAILURE = "connect_failure"
    RESET = "reset"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"


class FailureClass(Enum):
    """The consequence of a bad outcome for the next attempt."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    PERMANENT = "permanent"


class AttemptKind(IntEnum):
    """The cause of an attempt. The number indexes the tallies; `label` is the word that is shown."""

    FIRST = 0
    RETRY = 1
    RECONNECT = 2

    @property
    def label(self) -> str:
        """The word in metrics, logs and pages."""
        return self.name.lower()


class Result(IntEnum):
    """The end of an attempt or a whole request. The number indexes the tallies; `label` is the word that is shown."""

    SUCCESS = 0
    CLIENT_ERROR = 1
    SERVER_ERROR = 2
    FAULT = 3
    REFUSED = 4
    """Never sent: the breaker or the concurrency limit refused the original."""
    ABANDONED = 5
    """The caller left before there was an answer."""
    SUPERSEDED = 6
    """Called off, because the other of two attempts of the same request was answered well before it."""

    @property
    def label(self) -> str:
        """The word in metrics, logs and pages."""
        return self.name.lower()


def result_of(status: int) -> Result:
    """The result that a delivered status amounts to."""
    if status < 400:
        return Result.SUCCESS
    return Result.CLIENT_ERROR if status < 500 else Result.SERVER_ERROR
