"""How far any document may go, whatever its guardrails and exceptions say: a protection that is on stays one.

The engine's own bounds see to it that its numbers make sense. These see to it that nobody switches it off by a number
that makes sense and never comes true: a breaker that wants a million failures, a limit of a million in flight. What is
compiled in is not asked: the way to the service itself has no breaker.
"""

from collections.abc import Mapping
from typing import Final

from sidecar.governance.documents.units import Duration, Size

CEILINGS: Final[Mapping[str, tuple[float, float]]] = {
    "per_attempt_timeout": (Duration(0.001), Duration(3600)),
    "retry.backoff.base": (Duration(0.001), Duration(60)),
    "retry.backoff.max": (Duration(0.001), Duration(300)),
    "retry.retry_after.max": (Duration(0), Duration(3600)),
    "retry.min_remaining": (Duration(0), Duration(60)),
    "retry.window": (Duration(0.001), Duration(3600)),
    "retry.replay_buffer": (Size(0), Size(64 << 20)),
    "breaker.min_requests": (1, 1000),
    "breaker.consecutive_failures": (1, 1000),
    "breaker.max_open": (Duration(0.01), Duration(300)),
    "breaker.probes": (1, 100),
    "concurrency.initial": (1, 10_000),
    "concurrency.min_in_flight": (1, 10_000),
    "concurrency.max_in_flight": (1, 10_000),
    "concurrency.max_waiting": (0, 10_000),
    "idempotency_key.retention": (Duration(0), Duration(365 * 86400)),
    "idempotency.retention": (Duration(1), Duration(365 * 86400)),
    "idempotency.wait": (Duration(0), Duration(60)),
}
"""The least and the most of settings for which the engine itself has no bound of this kind."""

OVERLOADED: Final = 503
"""The answer of a destination that has too much to do (RFC 9110 §15.6.4): a breaker that does not count it is none."""

_NOT_5XX: Final = frozenset(range(500))


def ceiling_rule(setting: str, value: object) -> str | None:
    """The rule that `value` breaks, or None."""
    if setting in CEILINGS and isinstance(value, (int, float)):
        least, most = CEILINGS[setting]
        if not least <= value <= most:
            return f"must be between {least} and {most}"
    if setting == "breaker.statuses" and isinstance(value, frozenset) and not (value & _NOT_5XX or OVERLOADED in value):
        return f"must name {OVERLOADED}, the answer of a destination that has too much to do"
    return None
