"""Envoy's `retry_on` words, which Istio takes over: which of them are statuses and faults here, and what they risk."""

from dataclasses import dataclass, field
from typing import Final

_GATEWAY: Final = [502, 503, 504]
_NO_ANSWER: Final = ["connect_failure", "reset", "timeout"]

_FAULTS: Final = {
    "5xx": _NO_ANSWER,
    "gateway-error": ["connect_failure"],
    "reset": _NO_ANSWER,
    "reset-before-request": ["connect_failure"],
    "connect-failure": ["connect_failure"],
    "refused-stream": ["connect_failure"],
}
_GRPC: Final = {"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}
_LEFT: Final = {
    "envoy-ratelimited": "an answer that Envoy's own rate limiter marks has no equal; a 429 is retried after its "
    "Retry-After",
    "retriable-headers": "a retry is decided by status and fault, not by headers of the answer",
    "http3-post-connect-failure": "HTTP/3 is not spoken",
} | dict.fromkeys(_GRPC, "a gRPC status is not a status of HTTP: it is not translated")
_UNSENT: Final = {"connect-failure", "refused-stream", "reset-before-request"}
"""Nothing of the request had been executed: a retry of it is safe whatever the method."""


@dataclass(slots=True)
class RetryConditions:
    """The translation of a list of words. `left` has the words without one, each with the reason."""

    statuses: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    wants_listed_statuses: bool = False
    """`retriable-status-codes`: statuses of a list of its own."""
    repeats_executed: bool = False
    """Whether a request is sent again that may have been executed."""
    repeats_500: bool = False
    repeats_409: bool = False


def retry_conditions(text: str) -> RetryConditions:
    """Read `5xx,reset,503`. An unknown word is among `left`."""
    found = RetryConditions()
    statuses: set[int] = set()
    faults: set[str] = set()
    for word in filter(None, (part.strip().lower() for part in text.split(","))):
        if word.isdecimal() and len(word) == 3:
            statuses.add(int(word))
        elif word == "retriable-status-codes":
            found.wants_listed_statuses = True
        elif word == "retriable-4xx":
            found.repeats_409 = True
            found.left[word] = "is 409 alone, which no retry mends"
        elif word in _LEFT:
            found.left[word] = _LEFT[word]
        elif word in _FAULTS:
            faults.update(_FAULTS[word])
            if word in {"5xx", "gateway-error"}:
                statuses.update(_GATEWAY)
            found.repeats_500 |= word == "5xx"
        else:
            found.left[word] = "is no condition that is known"
        found.repeats_executed |= word not in _UNSENT
    found.statuses = sorted(statuses)
    found.faults = sorted(faults)
    return found
