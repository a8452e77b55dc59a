"""From what is asked to what is in force: baseline, defaults, the platform's destination, the team's overrides.

Each layer is laid over the one below and judged there, by guardrails and by the engine, so that a finding names the
document that caused it; every resolved number remembers where it came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from sidecar.engine.outcome import Fault
from sidecar.engine.policy import (
    BackoffPolicy,
    BreakerPolicy,
    BudgetPolicy,
    ConcurrencyPolicy,
    DestinationPolicy,
    InvalidPolicy,
    RetryAfterPolicy,
    RetryPolicy,
)
from sidecar.governance.finding import Finding, dotted, shown
from sidecar.governance.guardrails import Bound, written
from sidecar.governance.settings import Settings, given, held
from sidecar.governance.units import Duration, Size
from sidecar.governance.yaml import Path, Tree


class Source(Enum):
    """Whose word a number is."""

    BASELINE = "baseline"
    """Compiled in: no document says anything."""
    DEFAULT = "default"
    """`defaults` of the policy."""
    PLATFORM = "platform"
    """`destinations` of the policy."""
    OVERRIDE = "override"
    """The team's own file."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a number came from: its text as written, and where. `file` and `line` are None for the baseline."""

    value: str
    source: Source
    file: str | None
    line: int | None

    @property
    def place(self) -> str:
        """`policy.yaml:12`, or `built in`."""
        return "built in" if self.file is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Layer:
    """Some settings, and where in which document they stand."""

    source: Source
    settings: Settings
    tree: Tree
    at: Path

    def path(self, setting: str) -> Path:
        """Where `setting` stands, or would stand, in the document."""
        return (*self.at, *setting.split("."))

    def origin(self, setting: str) -> Origin:
        """Where the layer says `setting`."""
        path = self.path(setting)
        return Origin(written(self.tree.at(path)), self.source, self.tree.file, self.tree.line(path))


@dataclass(frozen=True, slots=True)
class Resolution:
    """Settings that hold together, by dotted path, with the origin of each and the policy they amount to."""

    values: Mapping[str, object]
    provenance: Mapping[str, Origin]
    policy: DestinationPolicy

    def under(self, layer: Layer, guardrails: Mapping[str, Bound], findings: list[Finding]) -> "Resolution":
        """Lay `layer` over this resolution.

        What breaks a guardrail or a rule of the engine is added to `findings` and left as it is below.
        """
        values = dict(self.values)
        provenance = dict(self.provenance)
        for setting, value in given(layer.settings).items():
            asked = held(value)
            settled = asked if layer.source is Source.DEFAULT else self.values[setting]
            rule = guardrails[setting].broken(asked, settled) if setting in guardrails else None
            if rule is None:
                values[setting] = asked
                provenance[setting] = layer.origin(setting)
            else:
                findings.append(_finding(layer, setting, rule))
        while True:
            try:
                policy = policy_of(values)
            except InvalidPolicy as error:
                cause = _cause(error, [name for name in values if provenance[name] is not self.provenance[name]])
                findings.append(_engine_finding(error, layer, cause, values, provenance))
                values[cause] = self.values[cause]
                provenance[cause] = self.provenance[cause]
            else:
                return Resolution(MappingProxyType(values), MappingProxyType(provenance), policy)


def _cause(error: InvalidPolicy, changed: list[str]) -> str:
    """The setting of the layer that broke the rule: the one the rule is about, or else one that the rule names."""
    if error.field in changed:
        return error.field
    named = [setting for setting in changed if setting in error.rule]
    return named[0] if named else changed[-1]


def _engine_finding(
    error: InvalidPolicy,
    layer: Layer,
    cause: str,
    values: Mapping[str, object],
    provenance: Mapping[str, Origin],
) -> Finding:
    if cause == error.field:
        return _finding(layer, cause, error.rule, error.value)
    origin = provenance[error.field]
    return _finding(layer, cause, f"{error.field} ({origin.value}, {origin.place}) {error.rule}")


def _finding(layer: Layer, setting: str, rule: str, culprit: object = None) -> Finding:
    """A finding about `setting`, at the one item of a list that is the culprit when there is one."""
    path = layer.path(setting)
    value = layer.tree.at(path)
    if isinstance(value, list) and culprit in value:
        path = (*path, value.index(culprit))
        value = culprit
    return Finding(layer.tree.file, layer.tree.line(path), dotted(path), rule, shown(value))


def policy_of(values: Mapping[str, Any]) -> DestinationPolicy:
    """The engine's policy. Raises InvalidPolicy with the first rule of the engine that is broken."""
    return DestinationPolicy(
        timeout=float(values["timeout"]),
        per_attempt_timeout=float(values["per_attempt_timeout"]),
        idle_timeout=float(values["idle_timeout"]),
        retry=RetryPolicy(
            max_attempts=values["retry.max_attempts"],
            statuses=values["retry.statuses"],
            faults=frozenset(Fault(word) for word in values["retry.faults"]),
            methods=values["retry.methods"],
            backoff=BackoffPolicy(base=float(values["retry.backoff.base"]), max=float(values["retry.backoff.max"])),
            retry_after=RetryAfterPolicy(
                honour=values["retry.retry_after.honour"], max=float(values["retry.retry_after.max"])
            ),
            min_remaining=float(values["retry.min_remaining"]),
            replay_buffer_bytes=int(values["retry.replay_buffer"]),
        ),
        budget=BudgetPolicy(
            ratio=values["budget.ratio"],
            window=float(values["budget.window"]),
            burst=values["budget.burst"],
            min_retries=values["budget.min_retries"],
        ),
        breaker=BreakerPolicy(
            failure_ratio=values["breaker.failure_ratio"],
            window=float(values["breaker.window"]),
            min_requests=values["breaker.min_requests"],
            consecutive_failures=values["breaker.consecutive_failures"],
            open=float(values["breaker.open"]),
            max_open=float(values["breaker.max_open"]),
            probes=values["breaker.probes"],
            ramp=float(values["breaker.ramp"]),
            statuses=values["breaker.statuses"],
        ),
        concurrency=ConcurrencyPolicy(
            limit=values["concurrency.limit"],
            initial=values["concurrency.initial"],
            min_in_flight=values["concurrency.min_in_flight"],
            max_in_flight=values["concurrency.max_in_flight"],
            max_waiting=values["concurrency.max_waiting"],
        ),
    )


def _values(policy: DestinationPolicy) -> dict[str, object]:
    """The settings that amount to `policy`."""
    retry, budget, breaker, concurrency = policy.retry, policy.budget, policy.breaker, policy.concurrency
    return {
        "timeout": Duration(policy.timeout),
        "per_attempt_timeout": Duration(policy.per_attempt_timeout),
        "idle_timeout": Duration(policy.idle_timeout),
        "retry.max_attempts": retry.max_attempts,
        "retry.statuses": retry.statuses,
        "retry.faults": frozenset(fault.value for fault in retry.faults),
        "retry.methods": retry.methods,
        "retry.backoff.base": Duration(retry.backoff.base),
        "retry.backoff.max": Duration(retry.backoff.max),
        "retry.backoff.jitter": "full",
        "retry.retry_after.honour": retry.retry_after.honour,
        "retry.retry_after.max": Duration(retry.retry_after.max),
        "retry.min_remaining": Duration(retry.min_remaining),
        "retry.replay_buffer": Size(retry.replay_buffer_bytes),
        "budget.ratio": budget.ratio,
        "budget.window": Duration(budget.window),
        "budget.burst": budget.burst,
        "budget.min_retries": budget.min_retries,
        "breaker.failure_ratio": breaker.failure_ratio,
        "breaker.window": Duration(breaker.window),
        "breaker.min_requests": breaker.min_requests,
        "breaker.consecutive_failures": breaker.consecutive_failures,
        "breaker.open": Duration(breaker.open),
        "breaker.max_open": Duration(breaker.max_open),
        "breaker.probes": breaker.probes,
        "breaker.ramp": Duration(breaker.ramp),
        "breaker.statuses": breaker.statuses,
        "concurrency.limit": concurrency.limit,
        "concurrency.initial": concurrency.initial,
        "concurrency.min_in_flight": concurrency.min_in_flight,
        "concurrency.max_in_flight": concurrency.max_in_flight,
        "concurrency.max_waiting": concurrency.max_waiting,
    }


_BUILT_IN = _values(DestinationPolicy())

BASELINE: Final = Resolution(
    MappingProxyType(_BUILT_IN),
    MappingProxyType({name: Origin(written(value), Source.BASELINE, None, None) for name, value in _BUILT_IN.items()}),
    DestinationPolicy(),
)
"""What the engine does when no document says anything."""
