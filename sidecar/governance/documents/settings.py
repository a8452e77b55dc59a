"""The settings of one destination: as people write them, in part, and flat, by dotted path.

`budget.ratio` is the name of one number in guardrails, exceptions, findings and explanations alike.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

from msgspec import UNSET, UnsetType, field, inspect, structs

from sidecar.engine.policy import IDEMPOTENT_METHODS, LimitKind
from sidecar.governance.documents.mapping import Document
from sidecar.governance.documents.route_match import RouteMatch, RouteName
from sidecar.governance.documents.units import Duration, Size


class BackoffSettings(Document, frozen=True, kw_only=True):
    """`retry.backoff`."""

    base: Duration | UnsetType = UNSET
    max: Duration | UnsetType = UNSET
    jitter: Literal["full"] | UnsetType = UNSET


class RetryAfterSettings(Document, frozen=True, kw_only=True):
    """`retry.retry_after`."""

    honour: bool | UnsetType = UNSET
    max: Duration | UnsetType = UNSET


class RetrySettings(Document, frozen=True, kw_only=True):
    """`retry`."""

    max_attempts: int | UnsetType = UNSET
    statuses: list[int] | UnsetType = UNSET
    faults: list[Literal["connect_failure", "reset", "timeout"]] | UnsetType = UNSET
    methods: Literal["idempotent"] | list[str] | UnsetType = UNSET
    backoff: BackoffSettings | UnsetType = UNSET
    retry_after: RetryAfterSettings | UnsetType = UNSET
    min_remaining: Duration | UnsetType = UNSET
    window: Duration | UnsetType = UNSET
    replay_buffer: Size | UnsetType = UNSET


class BudgetSettings(Document, frozen=True, kw_only=True):
    """`budget`."""

    ratio: float | UnsetType = UNSET
    window: Duration | UnsetType = UNSET
    burst: float | UnsetType = UNSET
    min_retries: int | UnsetType = UNSET


class BreakerSettings(Document, frozen=True, kw_only=True):
    """`breaker`."""

    failure_ratio: float | UnsetType = UNSET
    window: Duration | UnsetType = UNSET
    min_requests: int | UnsetType = UNSET
    consecutive_failures: int | UnsetType = UNSET
    open: Duration | UnsetType = UNSET
    max_open: Duration | UnsetType = UNSET
    probes: int | UnsetType = UNSET
    ramp: Duration | UnsetType = UNSET
    hold: Duration | UnsetType = UNSET
    statuses: list[int] | UnsetType = UNSET


class ConcurrencySettings(Document, frozen=True, kw_only=True):
    """`concurrency`."""

    limit: LimitKind | UnsetType = UNSET
    initial: int | UnsetType = UNSET
    min_in_flight: int | UnsetType = UNSET
    max_in_flight: int | UnsetType = UNSET
    max_waiting: int | UnsetType = UNSET


class VerificationSettings(Document, frozen=True, kw_only=True):
    """`tls`, as far as it is the platform's: how it is spoken is the sidecar file's own `tls`."""

    verify: bool | UnsetType = UNSET


class KeySettings(Document, frozen=True, kw_only=True):
    """`idempotency_key`, as far as it is governed: what it unlocks is retries of writes."""

    honours: bool | UnsetType = UNSET
    retention: Duration | UnsetType = UNSET


ContractClass = Literal["at_most_once", "reexecute_ok", "best_effort"]
AfterRetention = Literal["new", "reject"]


class ContractSettings(Document, frozen=True, kw_only=True):
    """`idempotency`: the terms on which the service's own ingress runs a request with an Idempotency-Key."""

    class_: ContractClass | UnsetType = field(default=UNSET, name="class")
    required: bool | UnsetType = UNSET
    retention: Duration | UnsetType = UNSET
    after_retention: AfterRetention | UnsetType = UNSET
    wait: Duration | UnsetType = UNSET


class Settings(Document, frozen=True, kw_only=True):
    """What one destination is governed by, as far as it is given: `defaults`, `overrides`."""

    timeout: Duration | UnsetType = UNSET
    per_attempt_timeout: Duration | UnsetType = UNSET
    idle_timeout: Duration | UnsetType = UNSET
    retry: RetrySettings | UnsetType = UNSET
    budget: BudgetSettings | UnsetType = UNSET
    breaker: BreakerSettings | UnsetType = UNSET
    concurrency: ConcurrencySettings | UnsetType = UNSET
    tls: VerificationSettings | UnsetType = UNSET
    idempotency_key: KeySettings | UnsetType = UNSET
    idempotency: ContractSettings | UnsetType = UNSET
    mode: Literal["enforce", "observe"] | UnsetType = UNSET


class RouteSettings(Document, frozen=True, kw_only=True):
    """The settings of one route of a destination: those that may differ from call to call.

    Budget, breaker and in-flight limit are not among them: it is the destination that is overloaded, not a path of it.
    """

    name: RouteName
    match: RouteMatch | UnsetType = UNSET
    timeout: Duration | UnsetType = UNSET
    per_attempt_timeout: Duration | UnsetType = UNSET
    idle_timeout: Duration | UnsetType = UNSET
    retry: RetrySettings | UnsetType = UNSET
    idempotency_key: KeySettings | UnsetType = UNSET

    @property
    def settings(self) -> Settings:
        """As settings of the destination would be given."""
        return Settings(
            timeout=self.timeout,
            per_attempt_timeout=self.per_attempt_timeout,
            idle_timeout=self.idle_timeout,
            retry=self.retry,
            idempotency_key=self.idempotency_key,
        )


class PlatformSettings(Settings, frozen=True, kw_only=True):
    """What the platform says of one destination: settings, and routes with settings of their own."""

    routes: list[RouteSettings] = field(default_factory=list)


ORDERED: Final = (inspect.IntType, inspect.FloatType, inspect.CustomType)
"""Types of settings of which one value can be more than another."""


def given(settings: Settings) -> dict[str, object]:
    """The settings that are given, by dotted path, in the order of the types."""
    return dict(_given(settings, structs.fields(Settings), ""))


def held(value: object) -> object:
    """A written value as it is compared and resolved: lists are sets, `idempotent` is its methods."""
    if value == "idempotent":
        return IDEMPOTENT_METHODS
    return frozenset(value) if isinstance(value, list) else value


def _given(settings: Document, fields: Iterable[structs.FieldInfo], prefix: str) -> Iterator[tuple[str, object]]:
    for each in fields:
        value = getattr(settings, each.name)
        if isinstance(value, Document):
            yield from _given(value, structs.fields(value), f"{prefix}{each.encode_name}.")
        elif value is not UNSET:
            yield prefix + each.encode_name, value


def _types(info: inspect.Type, prefix: str) -> Iterator[tuple[str, inspect.Type]]:
    if not isinstance(info, inspect.StructType):
        yield prefix, info
        return
    for each in info.fields:
        yield from _types(each.type, f"{prefix}.{each.encode_name}" if prefix else each.encode_name)


SETTINGS: Final[Mapping[str, inspect.Type]] = dict(_types(inspect.type_info(Settings), ""))
"""Every setting there is, by dotted path, with its type."""
