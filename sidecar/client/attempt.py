"""One attempt of a call, as the called function sees it."""

from collections.abc import Callable


class Attempt:
    """The facts that a function needs to make the attempt.

    `number` counts from 1. `deadline` is the instant at which the call ends, on the monotonic clock of `time`.
    `idempotency_key` is the call's key, the same for all its attempts, or None.
    """

    __slots__ = ("_clock", "deadline", "idempotency_key", "number")

    def __init__(self, number: int, deadline: float, idempotency_key: str | None, clock: Callable[[], float]) -> None:
        self.number = number
        self.deadline = deadline
        self.idempotency_key = idempotency_key
        self._clock = clock

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, at least a millisecond: a timeout of zero means none to many libraries."""
        return max(0.001, self.deadline - self._clock())

    @property
    def headers(self) -> dict[str, str]:
        """The fields that a sidecar adds: `Idempotency-Key`, and `x-retry-attempt` from the second attempt on."""
        fields = {}
        if self.idempotency_key is not None:
            fields["Idempotency-Key"] = self.idempotency_key
        if self.number > 1:
            fields["x-retry-attempt"] = str(self.number)
        return fields
