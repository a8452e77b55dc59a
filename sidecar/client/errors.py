"""The exceptions of a governed call that did not succeed."""

from sidecar.engine.verdict import Refusal


class CallFailed(Exception):
    """A call failed, and is not tried again.

    `destination`: its name in the policy. `attempts`: how many were begun, 0 if none was. `refusal`: why a wanted retry
    was not made, a word of docs/refusals.md, or None when none was wanted. `last_response`: the last response, as the
    called library has it, or None. `__cause__` is the exception of the last attempt, where there was one.
    """

    def __init__(
        self,
        detail: str,
        *,
        destination: str,
        attempts: int,
        refusal: Refusal | None = None,
        last_response: object = None,
    ) -> None:
        super().__init__(detail)
        self.destination = destination
        self.attempts = attempts
        self.refusal = None if refusal is None else refusal.value
        self.last_response = last_response

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are made again from `args`, which lack what is given by keyword.
        return (_unpickled, (type(self), self.args, self.__dict__))


class CallRefused(CallFailed):
    """The call was never sent: the breaker is open, or no slot became free. `retry_after`: seconds, 0 if unknown."""

    retry_after: float = 0.0


class CallTimedOut(CallFailed):
    """The call's `timeout` passed without an answer. It may have been executed."""


def _unpickled(kind: type[CallFailed], args: tuple[object, ...], state: dict[str, object]) -> CallFailed:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
