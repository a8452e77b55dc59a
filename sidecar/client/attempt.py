"""One attempt of a call, as the called function sees it."""

from collections.abc import Callable

from sidecar.client.dialect import USUAL_DIALECT, ClientKeyDialect


class Attempt:
    """The facts that a function needs to make the attempt.

    `number` counts from 1. `deadline` is the instant at which the call ends, on the monotonic clock of `time`.
    `idempotency_key` is the call's key, the same for all its attempts, or None. Where the destination wants it in the
    body (`idempotency_key.location`), the function puts it there: `headers` does not have it then.
    """

    __slots__ = ("_clock", "_dialect", "deadline", "idempotency_key", "number")

    def __init__(
        self,
        number: int,
        deadline: float,
        idempotency_key: str | None,
        clock: Callable[[], float],
        dialect: ClientKeyDialect = USUAL_DIALECT,
    ) -> None:
        self._dialect = dialect
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
        """The fields that a sidecar adds: the header of the key, and `x-retry-attempt` from the second attempt on."""
        fields = {}
        if self.idempotency_key is not None:
            field = self._dialect.field(self.idempotency_key)
            if field is not None:
                fields[field[0]] = field[1]
        if self.number > 1:
            fields["x-retry-attempt"] = str(self.number)
        return fields
