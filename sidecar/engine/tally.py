"""Counts of events at one destination since the start: plain integers that only rise.

The hot path adds and exporters read: no labels, no locks.
"""

from sidecar.engine.histogram import Histogram
from sidecar.engine.outcome import AttemptKind, Result
from sidecar.engine.verdict import Refusal


class Tally:
    """Counters of one destination. Each list is indexed by the enumeration that its comment names."""

    __slots__ = (
        "attempt_seconds",
        "attempts",
        "backoff_seconds",
        "connect_failures",
        "late_answers",
        "late_attempts",
        "late_wins",
        "refusals",
        "request_seconds",
        "requests",
        "retries",
        "retry_after_seconds",
        "retry_successes",
    )

    def __init__(self) -> None:
        self.requests = [0] * len(Result)  # by Result
        self.attempts = [[0] * len(Result) for _ in AttemptKind]  # by AttemptKind, then Result
        self.retries: dict[str, int] = {}  # by cause: "status_503", "timeout"…
        self.refusals = dict.fromkeys(Refusal, 0)  # retries and originals that were refused
        self.connect_failures: dict[str, int] = {}  # by reason: "connect_failure", or the host's more precise word
        self.late_attempts = 0  # without a head after per_attempt_timeout, or after what was learned
        self.late_answers = 0  # of those, answered well in the end
        self.late_wins = 0  # of those, answered before the retry that went beside them
        self.retry_successes = 0  # requests that succeeded at an attempt numbered 2 or more
        self.request_seconds = Histogram()
        self.attempt_seconds = Histogram()
        self.backoff_seconds = Histogram()
        self.retry_after_seconds = Histogram()

    @property
    def requests_total(self) -> int:
        """Requests that are over."""
        return sum(self.requests)

    @property
    def attempts_total(self) -> int:
        """Attempts that are over."""
        return sum(map(sum, self.attempts))
