"""The common part of the HTTP adapters: what a request's method and key allow, and what a response means."""

from time import time
from typing import Final

from sidecar.client.call import AttemptOutcome, GovernedCall, T
from sidecar.client.dialect import NO_KEY, CallKey, Fields
from sidecar.client.failure import Failure
from sidecar.client.governed import GovernedDestination
from sidecar.client.safety import Safety
from sidecar.wire.retry_after import parse_retry_after

ATTEMPT_FIELD: Final = "x-retry-attempt"
ATTEMPTS_FIELD: Final = "x-sidecar-attempts"
REFUSAL_FIELD: Final = "x-sidecar-refusal"
PORTS: Final = {"http": 80, "https": 443}


def keyed(
    destination: GovernedDestination, method: str, fields: Fields, body: bytes | None, *, replayable: bool
) -> tuple[Safety, CallKey]:
    """A request's declaration, by its method or by its one key; and that key, with what has to be added for it.

    A key is attached to a write without one where the destination honours keys, as the sidecar does and where the
    sidecar would.
    """
    policy = destination.policy
    if method.upper() in policy.retry.methods:
        return Safety(idempotent=True, replayable=replayable), NO_KEY
    found = destination.dialect.key_in(fields, body, attaches=policy.honours_keys)
    return Safety(idempotency_key=found.key, replayable=replayable), found


def answered(response: T, status: int, retry_after: str | None, date: str | None) -> AttemptOutcome[T]:
    """The outcome of an attempt that was answered; what it means is the policy's word."""
    wait = None
    if retry_after is not None:
        wait = parse_retry_after(retry_after.encode("latin-1", "replace"), (date or "").encode("latin-1"), time())
    failure = None if status < 400 else Failure(status=status, retry_after=wait)
    return AttemptOutcome(value=response, response=response, failure=failure, status=status)


def added_fields(call: GovernedCall[T]) -> dict[str, str]:
    """The fields that the sidecar would add to a response that it delivers."""
    fields = {ATTEMPTS_FIELD: str(call.exchange.attempts)}
    if call.refusal is not None:
        fields[REFUSAL_FIELD] = call.refusal.value
    return fields
