"""What an attempt came to: a status, or no answer at all."""

from enum import Enum


class Fault(Enum):
    """No answer. Whether a byte of the request had left is told beside it, as `sent`."""

    CONNECT_FAILURE = "connect_failure"
    RESET = "reset"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"


class FailureClass(Enum):
    """What a bad outcome means for the next attempt."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    PERMANENT = "permanent"
