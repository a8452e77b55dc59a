"""From what is asked to what is in force: baseline, defaults, the platform's destination, the team's overrides.

Each layer is laid over the one below and judged there, by guardrails, exceptions and the engine, so that a finding
names the document that caused it; every resolved number remembers where it came from.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from sidecar.engine.policy import DestinationPolicy, InvalidPolicy
from sidecar.governance.documents.bound import Bound, written
from sidecar.governance.documents.finding import Finding, RuleBreach, RuleId, shown
from sidecar.governance.documents.setting_spec import Binds
from sidecar.governance.documents.settings import SETTINGS, Settings, given, held
from sidecar.governance.documents.yaml import Path, Tree
from sidecar.governance.policy.engine_policy import policy_of, settings_of
from sidecar.governance.policy.guardrails import bound_of, settled_bound
from sidecar.governance.policy.waivers import Exemptions, Grant, State


class Source(Enum):
    """The layer that a number is from."""

    BASELINE = "baseline"
    """Compiled in: no document says anything."""
    DEFAULT = "default"
    """`defaults` of the policy."""
    PLATFORM = "platform"
    """`destinations` of the policy."""
    OVERRIDE = "override"
    """The team's own file."""
    EXCEPTION = "exception"
    """The team's own file, past a guardrail by leave of a live exception."""


class Origin(Struct, frozen=True):
    """The origin of a number: its text as written, and where. `file` and `line` are None for the baseline.

    `exception` is the id of the exception that lets it past its guardrail, None for all others.
    """

    value: str
    source: Source
    file: str | None
    line: int | None
    exception: str | None = None

    @property
    def place(self) -> str:
        """`policy.yaml:12`, the flag or variable that says it, or `built in`."""
        if self.file is None:
            return "built in"
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Layer(Struct, frozen=True):
    """Some settings, and where in which document they stand."""

    source: Source
    settings: Settings
    tree: Tree
    at: Path

    def path(self, setting: str) -> Path:
        """The path of `setting` in the document, written or not: a team's key contract is beside its overrides."""
        if setting == "mode" and (*self.at, "mode") not in self.tree.lines and ("mode",) in self.tree.lines:
            return ("mode",)  # of the whole service
        beside = self.at[-1:] == ("overrides",) and setting.startswith("idempotency_key.")
        return (*(self.at[:-1] if beside else self.at), *setting.split("."))

    def origin(self, setting: str) -> Origin:
        """The place at which the layer sets `setting`."""
        path = self.path(setting)
        return Origin(written(self.tree.at(path)), self.source, *self.tree.place(path))


class Excepted(Struct, frozen=True):
    """A number past its guardrail, as a document asks for it, and the exception it stands or falls with.

    It is in force while that is live, and set aside before and after.
    """

    grant: Grant
    state: State
    asked: Origin


class Resolution(Struct, frozen=True):
    """Settings that hold together, by dotted path, with the origin of each and the policy they amount to."""

    values: Mapping[str, object]
    provenance: Mapping[str, Origin]
    policy: DestinationPolicy
    excepted: Mapping[str, Excepted] = field(default_factory=dict)
    """The settings whose number, in force or set aside, depends on an exception."""
    below: "Resolution | None" = None
    """The resolution that the last layer was laid over."""

    def under(
        self,
        layer: Layer,
        guardrails: Mapping[str, Bound],
        findings: list[Finding],
        exemptions: Exemptions | None = None,
    ) -> "Resolution":
        """Lay `layer` over this resolution. Exceptions let it past `guardrails` as `exemptions` says.

        What breaks a guardrail or a rule of the engine is added to `findings` and left as it is below. So is, without a
        finding, what waits for an exception that is not live yet.
        """
        values = dict(self.values)
        provenance = dict(self.provenance)
        excepted: dict[str, Excepted] = {}
        for setting, value in given(layer.settings).items():
            asked = held(value)
            origin = layer.origin(setting)
            settled = asked if layer.source is Source.DEFAULT else self.values[setting]
            bound = self._bound(setting, layer, guardrails)
            rule = None if bound is None else bound.broken(asked, settled)
            if rule is not None and bound is not None and exemptions is not None:
                ruling = exemptions.rule(setting, asked, bound)
                if ruling.grant is not None and ruling.state is not None:
                    excepted[setting] = Excepted(ruling.grant, ruling.state, origin)
                    origin = replace(origin, source=Source.EXCEPTION, exception=ruling.grant.id)
                if ruling.state is State.LIVE:
                    rule = None
                elif ruling.state is State.PENDING:
                    continue
                elif ruling.reason:
                    rule = f"{rule}; {ruling.reason}"
            breach = None if rule is None else RuleBreach(rule, RuleId.GUARDRAIL)
            if breach is None and layer.source is not Source.BASELINE:
                breach = SETTINGS[setting].ceiling_rule(asked)
            if breach is None:
                values[setting] = asked
                provenance[setting] = origin
            else:
                findings.append(_finding(layer, setting, breach, None if bound is None else bound.culprit(asked)))
        told: set[str] = set()
        while True:
            try:
                policy = policy_of(values)
            except InvalidPolicy as error:
                cause = _cause(error, [name for name in values if provenance[name] is not self.provenance[name]])
                if told.isdisjoint(error.others):  # else it is about what became of another finding's value
                    findings.append(_engine_finding(error, layer, cause, values, provenance))
                told.update((error.field, *error.others))
                values[cause] = self.values[cause]
                provenance[cause] = self.provenance[cause]
                excepted.pop(cause, None)
            else:
                return Resolution(
                    MappingProxyType(values), MappingProxyType(provenance), policy, MappingProxyType(excepted), self
                )

    def _bound(self, setting: str, layer: Layer, guardrails: Mapping[str, Bound]) -> Bound | None:
        """The bound of the setting in `layer`: for a team the platform's value for the destination, where it counts."""
        binds = SETTINGS[setting].binds
        if binds is not Binds.ALL and held(given(layer.settings)[setting]) == self.values[setting]:
            return None  # what holds already may be said again
        says = (Source.DEFAULT, Source.PLATFORM) if binds is Binds.TEAMS else (Source.PLATFORM,)
        bound = bound_of(setting, guardrails, by_platform=layer.source in says)
        origin = self.provenance[setting]
        if origin.source not in says:
            return bound
        return settled_bound(setting, bound, self.values[setting], origin.place)


def _cause(error: InvalidPolicy, changed: list[str]) -> str:
    """The setting of the layer that broke the rule: the one the rule is about, or else one that it is about as well."""
    if error.field in changed:
        return error.field
    named = [setting for setting in changed if setting in error.others]
    return named[0] if named else changed[-1]


def _engine_finding(
    error: InvalidPolicy,
    layer: Layer,
    cause: str,
    values: Mapping[str, object],
    provenance: Mapping[str, Origin],
) -> Finding:
    kind = RuleId(error.code.value)
    if cause == error.field:
        others = [f"{other} ({provenance[other].value}, {provenance[other].place})" for other in error.others]
        rule = error.rule_about(others)
        return _finding(layer, cause, RuleBreach(rule, kind), error.value)
    origin = provenance[error.field]
    return _finding(layer, cause, RuleBreach(f"{error.field} ({origin.value}, {origin.place}) {error.rule}", kind))


def _finding(layer: Layer, setting: str, breach: RuleBreach, culprit: object = None) -> Finding:
    """A finding about `setting`, at the one item of a list that is the culprit when there is one."""
    path = layer.path(setting)
    value = layer.tree.at(path)
    if isinstance(value, list) and culprit in value:
        path = (*path, value.index(culprit))
        value = culprit
    return layer.tree.finding(path, breach.rule, shown(value), rule_id=breach.rule_id)


_BUILT_IN = settings_of(DestinationPolicy())

BASELINE: Final = Resolution(
    MappingProxyType(_BUILT_IN),
    MappingProxyType({name: Origin(written(value), Source.BASELINE, None, None) for name, value in _BUILT_IN.items()}),
    DestinationPolicy(),
)
"""The engine's values where no document gives others."""
