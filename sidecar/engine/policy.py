"""The values an engine runs on: validated once, at construction, and frozen.

These are not documents: what people write is `sidecar.governance`. Seconds are floats. Ceilings stated here hold for
every host and cannot be lifted by any document.
"""

import math
from collections.abc import Sequence
from enum import Enum

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

from sidecar.engine.outcome import Fault

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "QUERY"})
"""RFC 9110 §9.2.2, and QUERY (RFC 9110 registry; safe and idempotent by its definition)."""

RETRYABLE_CLIENT_ERRORS = frozenset({408, 425, 429})
"""The only 4xx that say "not now" instead of "not like this" (RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4)."""

MAX_ATTEMPTS_CEILING = 10
BUDGET_RATIO_CEILING = 1.0
BACKOFF_BASE_FLOOR = 0.001


class PolicyFault(Enum):
    """The kind of rule that a policy breaks."""

    BOUNDS = "bounds"
    """A number, or a code, outside of a range."""
    VALUE = "value"
    """A word that is not allowed there."""


class InvalidPolicy(ValueError):
    """A value no engine may run on. `field` is its dotted path, `rule` what it breaks, `value` what was given.

    `code` is the kind of the rule. `others` are the fields that the rule is about as well, by dotted path: a rule
    between two of them, given with `{}` in the place of each.
    """

    def __init__(
        self,
        field: str,
        rule: str,
        value: object,
        others: tuple[str, ...] = (),
        code: PolicyFault = PolicyFault.BOUNDS,
    ) -> None:
        self.field = field
        self.rule = rule.format(*others)
        self.value = value
        self.others = others
        self.code = code
        self._template = rule
        super().__init__(f"{field}: {self.rule}, got {value!r}")

    def rule_about(self, others: Sequence[str]) -> str:
        """The rule with other words in the place of `others`: where each of them stands, say."""
        return self._template.format(*others)


def require(
    holds: bool,  # noqa: FBT001 - reads as an assertion
    field: str,
    rule: str,
    value: object,
    others: tuple[str, ...] = (),
    code: PolicyFault = PolicyFault.BOUNDS,
) -> None:
    """Raise InvalidPolicy unless `holds`."""
    if not holds:
        raise InvalidPolicy(field, rule, value, others, code)


class LimitKind(Enum):
    """The kinds of in-flight limits."""

    ADAPTIVE = "adaptive"
    FIXED = "fixed"


class BackoffPolicy(Struct, frozen=True):
    """Full jitter: before attempt n+1 sleep U(0, min(max, base * 2^(n-1))) seconds."""

    base: float = 0.025
    max: float = 1.0

    def __post_init__(self) -> None:
        require(self.base >= BACKOFF_BASE_FLOOR, "retry.backoff.base", "must be at least 1ms", self.base)
        require(
            self.max >= self.base,
            "retry.backoff.max",
            "must be at least {}",
            self.max,
            ("retry.backoff.base",),
        )


class RetryAfterPolicy(Struct, frozen=True):
    """Whether the server's wish to wait is honoured, and the longest wish worth waiting for, in seconds."""

    honour: bool = True
    max: float = 10.0

    def __post_init__(self) -> None:
        require(self.max >= 0, "retry.retry_after.max", "must not be negative", self.max)


class RetryPolicy(Struct, frozen=True):
    """The outcomes that may be tried again, and how often. `max_attempts` includes the first.

    `window`: seconds after the request came within which a retry may still leave; the exchange's timeout is longer.
    """

    max_attempts: int = 3
    statuses: frozenset[int] = frozenset({429, 503})
    faults: frozenset[Fault] = frozenset({Fault.CONNECT_FAILURE, Fault.RESET, Fault.TIMEOUT})
    methods: frozenset[str] = IDEMPOTENT_METHODS
    backoff: BackoffPolicy = field(default_factory=BackoffPolicy)
    retry_after: RetryAfterPolicy = field(default_factory=RetryAfterPolicy)
    min_remaining: float = 0.05
    window: float = 10.0
    replay_buffer_bytes: int = 65536
    wire_methods: frozenset[bytes] = frozenset()
    """`methods` as heads have them: follows from those, whatever is given."""

    def __post_init__(self) -> None:
        require(
            1 <= self.max_attempts <= MAX_ATTEMPTS_CEILING,
            "retry.max_attempts",
            f"must be between 1 and {MAX_ATTEMPTS_CEILING}",
            self.max_attempts,
        )
        for status in sorted(self.statuses):
            require(
                500 <= status <= 599 or status in RETRYABLE_CLIENT_ERRORS,
                "retry.statuses",
                "must be 408, 425, 429 or 5xx",
                status,
            )
        word = PolicyFault.VALUE
        require(Fault.PROTOCOL not in self.faults, "retry.faults", "must not name protocol", "protocol", code=word)
        unsafe = sorted(self.methods - IDEMPOTENT_METHODS)
        require(not unsafe, "retry.methods", "must be idempotent", ", ".join(unsafe), code=word)
        require(0 < self.window <= 3600, "retry.window", "must be over 0s and at most 1h", self.window)
        require(self.min_remaining >= 0, "retry.min_remaining", "must not be negative", self.min_remaining)
        require(self.replay_buffer_bytes >= 0, "retry.replay_buffer", "must not be negative", self.replay_buffer_bytes)
        force_setattr(self, "wire_methods", frozenset(method.encode("ascii") for method in self.methods))


class BudgetPolicy(Struct, frozen=True):
    """Retries paid for by requests: `ratio` of them over `window` seconds, plus `min_retries` per window."""

    ratio: float = 0.1
    window: float = 10.0
    burst: float = 2.0
    min_retries: int = 3

    def __post_init__(self) -> None:
        require(0 <= self.ratio <= BUDGET_RATIO_CEILING, "budget.ratio", "must be between 0 and 1.0", self.ratio)
        require(1 <= self.window <= 300, "budget.window", "must be between 1s and 5m", self.window)
        require(1 <= self.burst <= 10, "budget.burst", "must be between 1 and 10", self.burst)
        require(0 <= self.min_retries <= 100, "budget.min_retries", "must be between 0 and 100", self.min_retries)


class BreakerPolicy(Struct, frozen=True):
    """When a destination that fails fast is left alone, and how it is let back in. Seconds."""

    failure_ratio: float = 0.5
    window: float = 10.0
    min_requests: int = 20
    consecutive_failures: int = 10
    open: float = 0.25
    max_open: float = 0.25
    probes: int = 1
    ramp: float = 0.1
    hold: float = 0.6
    statuses: frozenset[int] = frozenset({503})

    def __post_init__(self) -> None:
        require(
            0 < self.failure_ratio <= 1, "breaker.failure_ratio", "must be over 0 and at most 1", self.failure_ratio
        )
        require(1 <= self.window <= 300, "breaker.window", "must be between 1s and 5m", self.window)
        require(self.min_requests >= 1, "breaker.min_requests", "must be at least 1", self.min_requests)
        require(
            self.consecutive_failures >= 1,
            "breaker.consecutive_failures",
            "must be at least 1",
            self.consecutive_failures,
        )
        require(0.01 <= self.open <= 300, "breaker.open", "must be between 10ms and 5m", self.open)
        require(
            self.open <= self.max_open <= 300,
            "breaker.max_open",
            "must be between {} and 5m",
            self.max_open,
            ("breaker.open",),
        )
        require(self.probes >= 1, "breaker.probes", "must be at least 1", self.probes)
        require(0 <= self.ramp <= 300, "breaker.ramp", "must be between 0s and 5m", self.ramp)
        require(0 <= self.hold <= 60, "breaker.hold", "must be between 0s and 1m", self.hold)
        for status in sorted(self.statuses):
            require(500 <= status <= 599, "breaker.statuses", "must be 5xx", status)


class ConcurrencyPolicy(Struct, frozen=True):
    """The bounds on attempts in flight at once, and on originals that wait for a place."""

    limit: LimitKind = LimitKind.ADAPTIVE
    initial: int = 20
    min_in_flight: int = 4
    max_in_flight: int = 4096
    max_waiting: int = 4096

    def __post_init__(self) -> None:
        require(self.min_in_flight >= 1, "concurrency.min_in_flight", "must be at least 1", self.min_in_flight)
        require(
            self.max_in_flight >= self.min_in_flight,
            "concurrency.max_in_flight",
            "must be at least {}",
            self.max_in_flight,
            ("concurrency.min_in_flight",),
        )
        require(self.initial >= 1, "concurrency.initial", "must be at least 1", self.initial)
        require(self.max_waiting >= 0, "concurrency.max_waiting", "must not be negative", self.max_waiting)


class DestinationPolicy(Struct, frozen=True):
    """Everything one destination is governed by. `timeout` covers the whole exchange until its response head."""

    timeout: float = 60.0
    per_attempt_timeout: float = 2.0
    idle_timeout: float = 60.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    budget: BudgetPolicy = field(default_factory=BudgetPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    concurrency: ConcurrencyPolicy = field(default_factory=ConcurrencyPolicy)
    honours_keys: bool = False
    key_retention: float = 0.0
    observe: bool = False
    """Whether the policy is only tried: see `in_force`."""

    def __post_init__(self) -> None:
        require(0 < self.timeout <= 3600, "timeout", "must be over 0s and at most 1h", self.timeout)
        require(
            0 < self.per_attempt_timeout <= 3600,
            "per_attempt_timeout",
            "must be over 0s and at most 1h",
            self.per_attempt_timeout,
        )
        require(0 < self.idle_timeout <= 86400, "idle_timeout", "must be over 0s and at most 24h", self.idle_timeout)
        require(self.key_retention >= 0, "idempotency_key.retention", "must not be negative", self.key_retention)

    def repeatable_for(self, method: bytes, *, keyed: bool) -> float:
        """Seconds after its start in which a request may be sent again although it may have been executed.

        Endless for idempotent methods; the destination's retention for a request with one idempotency key where keys
        are honoured; minus infinity, never, for all others.
        """
        if method in self.retry.wire_methods:
            return math.inf
        return self.key_retention if keyed and self.honours_keys else -math.inf

    def in_force(self) -> "DestinationPolicy":
        """The policy in force for exchanges: this one, or, where it is only observed, one that interferes with nothing.

        That one refuses, limits and retries nothing, and gives nothing up before the longest time the engine knows.
        """
        if not self.observe:
            return self
        return replace(
            self,
            timeout=3600.0,
            per_attempt_timeout=3600.0,
            idle_timeout=86400.0,
            retry=replace(self.retry, max_attempts=1, statuses=frozenset(), faults=frozenset()),
            breaker=BreakerPolicy(
                failure_ratio=1.0, min_requests=10**9, consecutive_failures=10**9, statuses=frozenset()
            ),
            concurrency=ConcurrencyPolicy(limit=LimitKind.FIXED, initial=10**6, max_in_flight=10**6),
        )
