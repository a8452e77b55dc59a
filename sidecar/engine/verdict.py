"""The decision about an attempt's outcome: deliver it, or try again after a delay."""

from enum import Enum

from msgspec import Struct


class Refusal(Enum):
    """The reason why a wanted retry was not made, in the order of the checks; the same word everywhere it is told."""

    COMMITTED = "committed"
    PEER_REFUSED = "peer_refused"
    """The answer says that a sidecar behind it has refused: it has judged already whether another attempt helps."""
    NOT_REPLAYABLE = "not_replayable"
    NOT_IDEMPOTENT = "not_idempotent"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    RETRY_AFTER_TOO_LONG = "retry_after_too_long"
    DEADLINE = "deadline"
    DRAINING = "draining"
    BREAKER_OPEN = "breaker_open"
    CONCURRENCY_LIMIT = "concurrency_limit"
    BUDGET_EXHAUSTED = "budget_exhausted"


class Deliver(Struct, frozen=True):
    """Hand the outcome to the caller; `refusal` says why it is not tried again, None when no retry was wanted."""

    refusal: Refusal | None


class Retry(Struct, frozen=True):
    """Try again in `delay` seconds. The budget token is already spent; `cause` names the outcome that asked for it."""

    delay: float
    cause: str


class Await(Struct, frozen=True):
    """Go on awaiting the other attempt of the same request: this one is over, and has come to nothing."""


Verdict = Deliver | Retry | Await

DELIVER = Deliver(None)
AWAIT = Await()
REFUSED = {refusal: Deliver(refusal) for refusal in Refusal}
