"""The elder: an attempt that is late, and goes on beside the retry that was granted for it."""

from sidecar.engine.outcome import AttemptKind
from sidecar.proxy.stream import ConnectionOwner, Stream


class ElderAttempt:
    """A late attempt, kept once the current attempt is another one. `began`: monotonic seconds."""

    __slots__ = ("address", "backoff", "began", "kind", "number", "stream")

    def __init__(
        self,
        stream: Stream,
        address: ConnectionOwner,
        kind: AttemptKind,
        backoff: float,
        *,
        number: int,
        began: float,
    ) -> None:
        """`backoff`: the seconds that were waited before it."""
        self.stream = stream
        self.address = address
        self.kind = kind
        self.backoff = backoff
        self.number = number
        self.began = began
