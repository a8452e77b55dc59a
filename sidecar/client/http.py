"""The common part of the HTTP adapters: what a request's method and key allow, and what a response means."""

from collections.abc import Iterable
from time import time
from typing import Final

from sidecar.client.call import AttemptOutcome, GovernedCall, T
from sidecar.client.failure import Failure
from sidecar.client.safety import Safety, random_key
from sidecar.engine.policy import DestinationPolicy
from sidecar.wire.retry_after import parse_retry_after

KEY_FIELD: Final = "Idempotency-Key"
ATTEMPT_FIELD: Final = "x-retry-attempt"
ATTEMPTS_FIELD: Final = "x-sidecar-attempts"
REFUSAL_FIELD: Final = "x-sidecar-refusal"
PORTS: Final = {"http": 80, "https": 443}


def safety_of(method: str, keys: Iterable[str], policy: DestinationPolicy, *, replayable: bool) -> Safety:
    """A request's declaration: by its method, or by its one Idempotency-Key.

    A key is attached to a write without one where the destination honours keys, as the sidecar does. Two different keys
    are no key: which one counts is the destination's guess.
    """
    if method.upper() in policy.retry.methods:
        return Safety(idempotent=True, replayable=replayable)
    given = set(keys)
    if len(given) == 1:
        return Safety(idempotency_key=given.pop(), replayable=replayable)
    if not given and policy.honours_keys:
        return Safety(idempotency_key=random_key(), replayable=replayable)
    return Safety(replayable=replayable)


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
