"""The settings of one destination: as people write them, in part, and flat, by dotted path.

`budget.ratio` is the name of one number in guardrails, exceptions, findings and explanations alike. A field and its
`SettingSpec` are all that governance has to be told of a setting: SETTINGS has them all, by path.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final, Literal, get_type_hints

from msgspec import UNSET, Struct, UnsetType, field, inspect, structs
from msgspec.structs import replace

from sidecar.engine.outcome import Fault
from sidecar.engine.policy import (
    BUDGET_RATIO_CEILING,
    IDEMPOTENT_METHODS,
    MAX_ATTEMPTS_CEILING,
    RETRYABLE_CLIENT_ERRORS,
    LimitKind,
)
from sidecar.governance.documents.bound import BUILT_IN, Bound
from sidecar.governance.documents.finding import RuleBreach, RuleId
from sidecar.governance.documents.mapping import Document
from sidecar.governance.documents.redacted_field import RedactedField
from sidecar.governance.documents.route_match import RouteMatch, RouteName
from sidecar.governance.documents.setting_spec import Binds, EngineForm, Looser, Section, SettingSpec
from sidecar.governance.documents.units import Duration, Size

OVERLOADED: Final = 503
"""The answer of a destination that has too much to do (RFC 9110 §15.6.4): a breaker that does not count it is none."""

_NOT_5XX: Final = frozenset(range(500))

_FAULTS_FORM: Final = EngineForm(
    lambda words: frozenset(Fault(word) for word in words), lambda faults: frozenset(fault.value for fault in faults)
)
_MODE_FORM: Final = EngineForm(lambda word: word == "observe", lambda observe: "observe" if observe else "enforce")


def _overload_rule(statuses: frozenset[object]) -> RuleBreach | None:
    if not (statuses & _NOT_5XX or OVERLOADED in statuses):
        return RuleBreach(f"must name {OVERLOADED}, the answer of a destination that has too much to do", RuleId.VALUE)
    return None


class BackoffSettings(Document, frozen=True, kw_only=True):
    """`retry.backoff`."""

    base: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "The longest wait before the first retry; it doubles with each further one.",
            Looser.LESS,
            ceiling=(Duration(0.001), Duration(60)),
        ),
    ] = UNSET
    max: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "The longest wait before any retry.",
            Looser.LESS,
            ceiling=(Duration(0.001), Duration(300)),
        ),
    ] = UNSET
    jitter: Annotated[
        Literal["full"] | UnsetType,
        SettingSpec(
            "How much of the wait is left to chance: all of it, so that callers spread out.",
            Looser.NEITHER,
            default="full",
            guardrail=Bound(BUILT_IN, only=frozenset({"full"})),
        ),
    ] = UNSET


class RetryAfterSettings(Document, frozen=True, kw_only=True):
    """`retry.retry_after`."""

    honour: Annotated[
        bool | UnsetType,
        SettingSpec(
            "Whether the destination's Retry-After is waited for.",
            Looser.LESS,
            guardrail=Bound(BUILT_IN, only=frozenset({True})),
        ),
    ] = UNSET
    max: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "The longest Retry-After worth waiting for; beyond it the answer is delivered at once.",
            Looser.MORE,
            ceiling=(Duration(0), Duration(3600)),
        ),
    ] = UNSET


class RetrySettings(Document, frozen=True, kw_only=True):
    """`retry`."""

    max_attempts: Annotated[
        int | UnsetType,
        SettingSpec(
            "Attempts of one request, the first included; 1 switches retries off.",
            Looser.MORE,
            guardrail=Bound(BUILT_IN, high=4, ceiling=6),
            schema={"minimum": 1, "maximum": MAX_ATTEMPTS_CEILING},
        ),
    ] = UNSET
    statuses: Annotated[
        list[int] | UnsetType,
        SettingSpec(
            "Answers that are worth another attempt; all others are delivered as they are.",
            Looser.MORE,
            guardrail=Bound(BUILT_IN, only=frozenset({429, 502, 503, 504})),
            schema={"items": {"anyOf": [{"enum": sorted(RETRYABLE_CLIENT_ERRORS)}, {"minimum": 500, "maximum": 599}]}},
        ),
    ] = UNSET
    faults: Annotated[
        list[Literal["connect_failure", "reset", "timeout"]] | UnsetType,
        SettingSpec(
            "Ways of getting no answer that are worth another attempt.",
            Looser.MORE,
            form=_FAULTS_FORM,
        ),
    ] = UNSET
    methods: Annotated[
        Literal["idempotent"] | list[str] | UnsetType,
        SettingSpec(
            "Methods that may be sent again after they may have been executed: `idempotent`, or some of them.",
            Looser.MORE,
        ),
    ] = UNSET
    backoff: Annotated[BackoffSettings | UnsetType, Section("The wait before a retry.")] = UNSET
    retry_after: Annotated[RetryAfterSettings | UnsetType, Section("The destination's own wish to wait.")] = UNSET
    min_remaining: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "A retry that could not leave this long before the deadline is refused.",
            Looser.LESS,
            ceiling=(Duration(0), Duration(60)),
        ),
    ] = UNSET
    window: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "How long after the request came a retry may still leave; an answer is awaited for `timeout`.",
            Looser.MORE,
            ceiling=(Duration(0.001), Duration(3600)),
            guardrail=Bound(BUILT_IN, high=Duration(30), ceiling=Duration(300)),
        ),
    ] = UNSET
    replay_buffer: Annotated[
        Size | UnsetType,
        SettingSpec(
            "The longest request body that is kept to be sent again.",
            Looser.MORE,
            engine="retry.replay_buffer_bytes",
            ceiling=(Size(0), Size(64 << 20)),
        ),
    ] = UNSET


class BudgetSettings(Document, frozen=True, kw_only=True):
    """`budget`."""

    ratio: Annotated[
        float | UnsetType,
        SettingSpec(
            "Retries, as a share of the requests in the window: the control that keeps load from multiplying.",
            Looser.MORE,
            guardrail=Bound(BUILT_IN, high=0.2, ceiling=0.5),
            schema={"minimum": 0, "maximum": BUDGET_RATIO_CEILING},
        ),
    ] = UNSET
    window: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "Over which requests and retries are counted.",
            Looser.NEITHER,
            guardrail=Bound(BUILT_IN, low=Duration(5)),
        ),
    ] = UNSET
    burst: Annotated[
        float | UnsetType,
        SettingSpec(
            "How much faster than the window's mean one tenth of it may spend.",
            Looser.MORE,
            schema={"minimum": 1, "maximum": 10},
        ),
    ] = UNSET
    min_retries: Annotated[
        int | UnsetType,
        SettingSpec(
            "Retries per window that are free, so that a quiet destination can be retried.",
            Looser.MORE,
            guardrail=Bound(BUILT_IN, high=10, ceiling=50),
            schema={"minimum": 0, "maximum": 100},
        ),
    ] = UNSET


class BreakerSettings(Document, frozen=True, kw_only=True):
    """`breaker`."""

    failure_ratio: Annotated[
        float | UnsetType,
        SettingSpec(
            "The share of failures in the window from which the breaker opens.",
            Looser.MORE,
            guardrail=Bound(BUILT_IN, high=0.8),
            schema={"minimum": 0, "maximum": 1},
        ),
    ] = UNSET
    window: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "Over which attempts and failures are counted.",
            Looser.NEITHER,
            guardrail=Bound(BUILT_IN, low=Duration(5), high=Duration(60)),
        ),
    ] = UNSET
    min_requests: Annotated[
        int | UnsetType,
        SettingSpec(
            "Attempts in the window below which the share says nothing.",
            Looser.MORE,
            ceiling=(1, 1000),
            guardrail=Bound(BUILT_IN, high=50, ceiling=200),
        ),
    ] = UNSET
    consecutive_failures: Annotated[
        int | UnsetType,
        SettingSpec(
            "Failures in a row that open the breaker whatever the share.",
            Looser.MORE,
            ceiling=(1, 1000),
            guardrail=Bound(BUILT_IN, high=50, ceiling=200),
        ),
    ] = UNSET
    open: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "How long it stays open; doubles with each trip in a row.",
            Looser.LESS,
            guardrail=Bound(BUILT_IN, low=Duration(0.1)),
        ),
    ] = UNSET
    max_open: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "The longest it stays open.",
            Looser.LESS,
            ceiling=(Duration(0.01), Duration(300)),
        ),
    ] = UNSET
    probes: Annotated[
        int | UnsetType,
        SettingSpec(
            "Attempts that may be in flight at once to find out whether the destination is well again.",
            Looser.MORE,
            ceiling=(1, 100),
            guardrail=Bound(BUILT_IN, high=5, ceiling=20),
        ),
    ] = UNSET
    ramp: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "From the first success to full traffic.",
            Looser.LESS,
        ),
    ] = UNSET
    hold: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "How long an original that finds it open waits for the next probe instead of being refused.",
            Looser.NEITHER,
        ),
    ] = UNSET
    statuses: Annotated[
        list[int] | UnsetType,
        SettingSpec(
            "Answers that count as failures of the destination.",
            Looser.LESS,
            rule=_overload_rule,
            schema={"items": {"minimum": 500, "maximum": 599}, "contains": {"const": OVERLOADED}},
        ),
    ] = UNSET


class ConcurrencySettings(Document, frozen=True, kw_only=True):
    """`concurrency`."""

    limit: Annotated[
        LimitKind | UnsetType,
        SettingSpec(
            "How the in-flight limit is set: it adapts to the destination, or is fixed at `initial`.",
            Looser.MORE,
        ),
    ] = UNSET
    initial: Annotated[
        int | UnsetType,
        SettingSpec(
            "Attempts in flight the limit begins with.",
            Looser.MORE,
            ceiling=(1, 10_000),
            guardrail=Bound(BUILT_IN, high=200, ceiling=1000),
        ),
    ] = UNSET
    min_in_flight: Annotated[
        int | UnsetType,
        SettingSpec(
            "The limit never falls below this.",
            Looser.MORE,
            ceiling=(1, 10_000),
            guardrail=Bound(BUILT_IN, high=50, ceiling=200),
        ),
    ] = UNSET
    max_in_flight: Annotated[
        int | UnsetType,
        SettingSpec(
            "The limit never rises above this.",
            Looser.MORE,
            ceiling=(1, 10_000),
            guardrail=Bound(BUILT_IN, high=4096, ceiling=8192),
        ),
    ] = UNSET
    max_waiting: Annotated[
        int | UnsetType,
        SettingSpec(
            "Requests that may wait for a place in flight; beyond it they get a 503.",
            Looser.MORE,
            ceiling=(0, 10_000),
            guardrail=Bound(BUILT_IN, high=4096, ceiling=8192),
        ),
    ] = UNSET


class VerificationSettings(Document, frozen=True, kw_only=True):
    """`tls`, as far as it is the platform's: how it is spoken is the sidecar file's own `tls`."""

    verify: Annotated[
        bool | UnsetType,
        SettingSpec(
            "Whether https endpoints must prove who they are; switched off by an exception only.",
            Looser.LESS,
            default=True,
            guardrail=Bound(BUILT_IN, only=frozenset({True})),
            replaceable=False,
        ),
    ] = UNSET


class KeySettings(Document, frozen=True, kw_only=True):
    """`idempotency_key`, as far as it is governed: what it unlocks is retries of writes."""

    honours: Annotated[
        bool | UnsetType,
        SettingSpec(
            "Whether the destination executes each key at most once, so that writes may be retried.",
            Looser.MORE,
            engine="honours_keys",
            guardrail=Bound(BUILT_IN, only=frozenset({False})),
            binds=Binds.ALL_BUT_DESTINATIONS,
        ),
    ] = UNSET
    retention: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "How long it remembers a key; over 0s where keys are honoured.",
            Looser.MORE,
            engine="key_retention",
            ceiling=(Duration(0), Duration(365 * 86400)),
            guardrail=Bound(BUILT_IN, high=Duration(86400)),
            binds=Binds.ALL_BUT_DESTINATIONS,
        ),
    ] = UNSET


ContractClass = Literal["at_most_once", "reexecute_ok", "best_effort"]
AfterRetention = Literal["new", "reject"]


class ContractSettings(Document, frozen=True, kw_only=True):
    """`idempotency`: the terms on which the service's own ingress runs a request with an Idempotency-Key."""

    class_: Annotated[
        ContractClass | UnsetType,
        SettingSpec(
            "What becomes of an unknown outcome, and of requests while the store is down.",
            Looser.NEITHER,
            default="at_most_once",
        ),
    ] = field(default=UNSET, name="class")
    required: Annotated[
        bool | UnsetType,
        SettingSpec(
            "Whether a request without a key is refused.",
            Looser.LESS,
            default=True,
        ),
    ] = UNSET
    retention: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "How long a key is remembered after it was settled.",
            Looser.LESS,
            default=Duration(86400),
            ceiling=(Duration(1), Duration(365 * 86400)),
            guardrail=Bound(BUILT_IN, low=Duration(3600), floor=Duration(60)),
        ),
    ] = UNSET
    after_retention: Annotated[
        AfterRetention | UnsetType,
        SettingSpec(
            "Whether a key is then new, or rejected for ever.",
            Looser.NEITHER,
            default="new",
        ),
    ] = UNSET
    wait: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "How long a second request waits for the first before it is told that it is in flight.",
            Looser.NEITHER,
            default=Duration(0),
            ceiling=(Duration(0), Duration(60)),
        ),
    ] = UNSET
    redact: Annotated[
        list[RedactedField] | UnsetType,
        SettingSpec(
            "Fields of what is kept of a key that are put out of sight: JSON pointers into answers, their headers, and "
            "what people write in the journal (`journal.by`, `journal.why`).",
            Looser.LESS,
            default=frozenset(),
        ),
    ] = UNSET


class Settings(Document, frozen=True, kw_only=True):
    """The settings that are given for one destination: `defaults`, `overrides`."""

    timeout: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "Of the whole exchange until its response head: every attempt and back-off included.",
            Looser.MORE,
        ),
    ] = UNSET
    per_attempt_timeout: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "Makes room for a retry: a retry may go beside an attempt older than this.",
            Looser.NEITHER,
            ceiling=(Duration(0.001), Duration(3600)),
        ),
    ] = UNSET
    idle_timeout: Annotated[
        Duration | UnsetType,
        SettingSpec(
            "Between two pieces of a body, once the response has begun.",
            Looser.NEITHER,
        ),
    ] = UNSET
    retry: Annotated[RetrySettings | UnsetType, Section("What is tried again, how often and after how long.")] = UNSET
    budget: Annotated[
        BudgetSettings | UnsetType,
        Section("Retries are paid for by requests: the control that keeps a fleet from amplifying."),
    ] = UNSET
    breaker: Annotated[
        BreakerSettings | UnsetType,
        Section("For a destination that fails fast: it is left alone, and let back in by a ramp."),
    ] = UNSET
    concurrency: Annotated[
        ConcurrencySettings | UnsetType,
        Section("For a destination that fails slowly: how many attempts may be in flight at once."),
    ] = UNSET
    tls: Annotated[
        VerificationSettings | UnsetType,
        Section("TLS towards the destination, as far as it is not the service's to say."),
    ] = UNSET
    idempotency_key: Annotated[
        KeySettings | UnsetType,
        Section("What the destination promises about idempotency keys, as far as it unlocks retries of writes."),
    ] = UNSET
    idempotency: Annotated[
        ContractSettings | UnsetType,
        Section("In front of the service itself: the terms of routes with an Idempotency-Key (`ingress.routes`)."),
    ] = UNSET
    mode: Annotated[
        Literal["enforce", "observe"] | UnsetType,
        SettingSpec(
            "enforce, or observe: nothing is refused, limited, retried or timed out; what would have been is counted.",
            Looser.MORE,
            engine="observe",
            form=_MODE_FORM,
            guardrail=Bound(BUILT_IN, only=frozenset({"enforce"})),
            binds=Binds.TEAMS,
        ),
    ] = UNSET


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
        return Settings(**{name: getattr(self, name) for name in ROUTE_SETTINGS})


class PlatformSettings(Settings, frozen=True, kw_only=True):
    """The platform's settings for one destination, and routes with settings of their own."""

    routes: list[RouteSettings] = field(default_factory=list)


ROUTE_SETTINGS: Final = tuple(each.name for each in structs.fields(RouteSettings) if each.name not in {"name", "match"})
"""The settings, and groups of settings, that may differ by route."""


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


def _specs(cls: type[Struct], prefix: str) -> Iterator[SettingSpec | tuple[str, Section]]:
    """The specs beside the fields of a mapping, in their order."""
    hints = get_type_hints(cls, include_extras=True)
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    for each, info in zip(structs.fields(cls), described.fields, strict=True):
        path = prefix + each.encode_name
        [said] = hints[each.name].__metadata__
        if isinstance(info.type, inspect.StructType):
            yield path, said
            yield from _specs(info.type.cls, f"{path}.")
        else:
            yield replace(said, path=path, type=info.type)


_SPECS: Final = tuple(_specs(Settings, ""))

SETTINGS: Final[Mapping[str, SettingSpec]] = {said.path: said for said in _SPECS if isinstance(said, SettingSpec)}
"""Every setting there is, by dotted path."""

SECTIONS: Final[Mapping[str, Section]] = dict(said for said in _SPECS if not isinstance(said, SettingSpec))
"""The mappings that group them, by dotted path."""
