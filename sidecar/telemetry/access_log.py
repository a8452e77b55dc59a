"""One line per exchange that the host thinks worth telling of: retried, refused, faulted, slow, or drawn as a sample.

The lines are limited, and what was left out is counted and told: in a storm the log must not cost more than the storm.
"""

import logging
from collections.abc import Callable
from typing import Final

from sidecar.engine.outcome import Result
from sidecar.telemetry.line_limit import LineLimit
from sidecar.telemetry.log import Log
from sidecar.telemetry.record import AttemptRecord, ExchangeRecord

LINES_PER_SECOND: Final = 50.0
LINES_BURST: Final = 100
REPORT_AFTER_SECONDS: Final = 1.0
MAX_TEXT: Final = 256

_ALARMING = frozenset({Result.FAULT.label, Result.REFUSED.label, Result.SERVER_ERROR.label})


class AccessLog:
    """Takes ExchangeRecords; which exchanges get one is the host's choice.

    `clock` gives monotonic seconds. `call_later(seconds, callback)` is how the count of dropped lines gets told when no
    other line comes.
    """

    def __init__(
        self,
        log: Log,
        limit: LineLimit,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._log = log
        self._limit = log.limited(limit)
        self._clock = clock
        self._call_later = call_later
        self._reporting = False

    def record(self, record: ExchangeRecord) -> None:
        """Write one exchange, or count it when there are too many. Does not block."""
        level = logging.WARNING if record.refusal is not None or record.result in _ALARMING else logging.INFO
        if not self._log.logger.is_enabled_for(level):
            return
        if self._limit.take(self._clock()):
            self._log.logger.log(level, "exchange", **_fields(record))
        if not self._reporting and self._log.unreported:
            self._reporting = True
            self._call_later(REPORT_AFTER_SECONDS, self._report)

    def _report(self) -> None:
        self._reporting = False
        self._log.report_dropped()


def _fields(record: ExchangeRecord) -> dict[str, object]:
    return {
        "destination": record.destination,
        **({} if record.route is None else {"route": record.route}),
        "method": _shown(record.method),
        "target": _shown(_without_secrets(record.target)),
        "status": record.status,
        "outcome": record.result,
        "answered_by": record.answered_by,
        "ms": _ms(record.seconds),
        "waited_ms": _ms(record.waited),
        "attempts": [_attempt(attempt) for attempt in record.attempts],
        "refusal": record.refusal,
        "budget": round(record.budget_balance, 2),
        "breaker": record.breaker,
        "policy_version": record.policy_version,
        "request_id": _shown(record.request_id),
        "trace_id": None if record.trace_id is None else _shown(record.trace_id),
    }


def _attempt(attempt: AttemptRecord) -> dict[str, object]:
    return {
        "n": attempt.number,
        "kind": attempt.kind,
        "endpoint": _without_secrets(attempt.endpoint),
        "outcome": attempt.outcome,
        "ms": _ms(attempt.seconds),
        "backoff_ms": _ms(attempt.backoff),
        "began_ms": _ms(attempt.began),
        "late": attempt.late,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _without_secrets(target: str) -> str:
    """No query, no fragment, and no user and password in front of a host (RFC 3986 §3.2.1)."""
    target = target.partition("?")[0].partition("#")[0]
    scheme, found, rest = target.partition("://")
    if not found:
        return target
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _shown(text: str) -> str:
    """Short, and without anything a terminal would obey: callers choose this text."""
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
