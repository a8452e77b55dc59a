"""The judgement of `sidecar gate`: every operation of every description, by the rules of config/gate.yaml.

An operation with an effect that a repetition would have again must declare a strategy that its surface accepts, and
prove it. What an operation declares is proven wherever it is declared. A description that can not be read as a whole
is not judged at all: `unjudged` says why, and is never a pass.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.documents.gate import SurfaceRule
from sidecar.governance.documents.units import Duration
from sidecar.governance.policy.gate_rules import GateRules
from sidecar.governance.policy.waivers import State, life_rule
from sidecar.review.catalogue import BY_ID
from sidecar.review.codeowners import CodeOwners, may_sign
from sidecar.review.declaration import Declaration, DesignReview, declaration_of
from sidecar.review.operations import ApiOperation, OperationKind, dialect_of, operations_of
from sidecar.review.proofs import StrategyClaim, Unproven, key_parameter
from sidecar.review.references import Library, Target
from sidecar.review.surfaces import Placement, RepetitionEffect, Surfaces, mechanism_names

_HOW: Final[Mapping[str, str]] = {
    "key": "x-idempotency: {strategy: key, retention: 24h}, the header Idempotency-Key with required: true, and "
    "responses 409 and 422",
    "natural-key": "x-idempotency: {strategy: natural-key, field: /FIELD} with that field required",
    "conditional": "x-idempotency: {strategy: conditional}, the header If-Match with required: true, and response 412",
    "event-id": "x-idempotency: {strategy: event-id, field: /ID, delivery: at-least-once} with that field required",
    "send-key": "x-idempotency: {strategy: send-key, field: header:Idempotency-Key, retention: 24h} with that header "
    "required",
    "key ledger": "x-idempotency: {strategy: [key, ledger], ledger: /REFERENCE, retention: 24h}, the header "
    "Idempotency-Key and that field with required: true, and responses 409 and 422",
}


@dataclass(frozen=True, slots=True)
class GateFinding:
    """One finding and its kind. `operation` is the key of the operation, empty for a file as a whole."""

    kind: str
    finding: Finding
    operation: str
    note: bool = False


@dataclass(frozen=True, slots=True)
class JudgedOperation:
    """One operation and what came of it. `rule` is None where it is on no sensitive surface."""

    operation: ApiOperation
    rule: SurfaceRule | None
    effect: RepetitionEffect
    declaration: Declaration | None
    lacking: bool
    key_headers: tuple[str, ...]


@dataclass(slots=True)
class JudgedDescription:
    """One description. With `unjudged` there are no operations: a part of it could not be read."""

    file: str
    dialect: str = ""
    operations: list[JudgedOperation] = field(default_factory=list)
    findings: list[GateFinding] = field(default_factory=list)
    unjudged: list[Finding] = field(default_factory=list)
    files: int = 1

    @property
    def errors(self) -> list[Finding]:
        """The findings that refuse the description."""
        return [one.finding for one in self.findings if not one.note]

    @property
    def notes(self) -> list[Finding]:
        """The findings that refuse nothing."""
        return [one.finding for one in self.findings if one.note]

    @property
    def sensitive(self) -> list[JudgedOperation]:
        """The operations that had to prove something."""
        return [
            one
            for one in self.operations
            if one.rule is not None and one.effect in {RepetitionEffect.SINGLE, RepetitionEffect.DENIED}
        ]


@dataclass(frozen=True, slots=True)
class Bench:
    """The inputs of a judgement. `owners_path` gives a description's path in the repository, for CODEOWNERS."""

    rules: GateRules
    now: datetime
    owners: CodeOwners | None = None
    repository_path: Callable[[str], str] = str

    def judge(self, library: Library, path: str, before: JudgedDescription | None = None) -> JudgedDescription:
        """Judge the description at an absolute path. With `before`, its earlier version, only what is new is found."""
        return _Judging(self, library, path, before).description()

    def exception_notes(self, descriptions: Sequence[JudgedDescription]) -> list[GateFinding]:
        """The notes about exceptions: over, ending soon, or for no operation of these descriptions."""
        names: set[str] = set()
        for description in descriptions:
            for judged in description.operations:
                names |= _names(judged.operation)
        notes = []
        for grant in self.rules.grants:
            exception = grant.exception
            field_name = f"exception {exception.id}"
            rule = life_rule(exception, "the rule", self.now)
            if rule is None and exception.operation not in names:
                rule = f"is for {exception.operation}, which none of these descriptions has"
            if rule is not None:
                finding = Finding(grant.file, grant.line, field_name, rule, rule_id="exception-life")
                notes.append(GateFinding("exception-life", finding, "", note=True))
        return notes


class _Judging:
    def __init__(self, bench: Bench, library: Library, path: str, before: JudgedDescription | None) -> None:
        self._bench = bench
        self._gate = bench.rules.document
        self._surfaces = Surfaces(self._gate)
        self._library = library
        self._path = path
        self._before = before
        self._known = {} if before is None else {one.operation.key: one for one in before.operations}
        self._old_findings = set() if before is None else {(one.kind, one.operation) for one in before.findings}

    def description(self) -> JudgedDescription:
        try:
            root = self._library.open(self._path)
        except InvalidDocument as error:
            first = error.findings[0]
            return JudgedDescription(first.file, unjudged=_unresolved(error.findings))
        judged = JudgedDescription(root.file.name)
        lost = self._library.check(root) if isinstance(root.value, dict) else [_no_mapping(root)]
        judged.unjudged = _unresolved(lost)
        if judged.unjudged:
            return judged
        try:
            operations = operations_of(self._library, root)
            for operation in operations:
                self._operation(operation, judged)
        except InvalidDocument as error:
            return JudgedDescription(root.file.name, unjudged=_unresolved(error.findings))
        dialect = dialect_of(root.value)
        judged.dialect = "" if dialect is None else dialect.value
        judged.files = len(self._library.files)
        return judged

    def _operation(self, operation: ApiOperation, judged: JudgedDescription) -> None:
        placement = self._surfaces.place(operation)
        effect = self._surfaces.effect(operation)
        broken: list[Finding] = []
        declaration = declaration_of(operation, broken)
        found = [GateFinding("declaration", finding, operation.key) for finding in broken]
        found += self._label(operation, placement)
        found += self._strategy(operation, placement.rule, effect, declaration, understood=not broken)
        found += self._sign_off(operation, placement.rule, effect, declaration)
        kept = [self._levelled(one, placement.rule) for one in found if not self._excused(one, operation)]
        judged.findings += [
            one for one in kept if one is not None and (one.kind, one.operation) not in self._old_findings
        ]
        judged.operations.append(
            JudgedOperation(
                operation,
                placement.rule,
                effect,
                declaration,
                lacking=any(one is not None for one in kept),
                key_headers=tuple(self._gate.key.headers),
            )
        )

    def _label(self, operation: ApiOperation, placement: Placement) -> Iterator[GateFinding]:
        if placement.label is not None:
            line = operation.extension_line("x-surface")
            value = str(operation.extension("x-surface"))
            finding = Finding(operation.file.name, line, operation.key, f"x-surface {placement.label}", value)
            yield GateFinding("surface-label", finding, operation.key)

    def _strategy(
        self,
        operation: ApiOperation,
        rule: SurfaceRule | None,
        effect: RepetitionEffect,
        declaration: Declaration | None,
        *,
        understood: bool,
    ) -> Iterator[GateFinding]:
        if effect is RepetitionEffect.HIDDEN:
            yield self._hidden(operation)
        if effect is RepetitionEffect.DENIED and rule is not None:
            text = (
                "x-side-effect: false proves nothing: if it only reads, have its path added to reads in "
                f"{self._bench.rules.file}"
            )
            yield self._found("effect-denied", operation, text, operation.extension_line("x-side-effect"))
            return
        before = self._known.get(operation.key)
        removed = before is not None and _strategy_of(before.declaration) and not _strategy_of(declaration)
        if removed and understood:
            assert before is not None
            assert before.declaration is not None
            was = " and ".join(before.declaration.mechanisms)
            text = f"had the strategy {was} before, and has none now: callers that repeat rely on it; put it back"
            yield self._found("strategy-removed", operation, text, operation.extension_line("x-idempotency"))
            return
        if declaration is not None:
            yield from self._declared(operation, rule, declaration)
            if before is not None and before.declaration is not None:
                yield from self._weakened(operation, before, declaration)
        elif understood and rule is not None and effect is RepetitionEffect.SINGLE:
            yield self._missing(operation, rule)

    def _missing(self, operation: ApiOperation, rule: SurfaceRule) -> GateFinding:
        first = rule.accepts[0]
        how = _HOW.get(first if isinstance(first, str) else " ".join(first), "x-idempotency")
        has = ""
        if "key" in first and (parameter := key_parameter(operation, tuple(self._gate.key.headers))) is not None:
            has = f"; its header {parameter.name} is {'required' if parameter.required else 'optional'}"
        others = "" if len(rule.accepts) == 1 else f" ({mechanism_names(rule.accepts[1:])} would do too)"
        text = f"must say how a repetition is kept from a second effect: {how}{others}{has} [rule {rule.id}]"
        return self._found("strategy-missing", operation, text, operation.line)

    def _hidden(self, operation: ApiOperation) -> GateFinding:
        verb = self._surfaces.verb(operation)
        said = "says itself (x-side-effect)" if verb is None else f'says by its name ("{verb}")'
        text = (
            f"{said} that it has an effect, and {operation.method} is repeated by every client without asking: "
            "make it a POST with a strategy, or name it by what it returns"
        )
        return self._found("effect-in-get", operation, text, operation.line)

    def _declared(
        self, operation: ApiOperation, rule: SurfaceRule | None, declaration: Declaration
    ) -> Iterator[GateFinding]:
        if declaration.strategy == "none":
            if rule is not None:
                yield from self._without(operation, declaration)
            return
        if rule is not None and not _accepted(declaration, rule):
            text = (
                f"x-idempotency.strategy must be {mechanism_names(rule.accepts)} here, "
                f"got {' and '.join(declaration.mechanisms)} [rule {rule.id}]"
            )
            line = operation.extension_line("x-idempotency")
            yield self._found("strategy-refused", operation, text, line)
        least = Duration(0.0) if rule is None else rule.min_retention
        for lack in StrategyClaim(operation, declaration, self._gate, least).lacks():
            yield self._lacking(operation, lack)

    def _without(self, operation: ApiOperation, declaration: Declaration) -> Iterator[GateFinding]:
        line = operation.extension_line("x-idempotency")
        where = self._bench.rules.file
        grants = list(self._bench.rules.granted(_names(operation), None, self._bench.now))
        if declaration.exception is not UNSET:
            grants = [pair for pair in grants if pair[0].exception.id == declaration.exception]
        for grant, state in grants[:1]:
            match state:
                case State.LIVE:
                    return
                case State.EXPIRED:
                    text = f"strategy none needs a live exception, and {grant} is over since {grant.exception.expires}"
                case State.PENDING:
                    text = f"strategy none needs a live exception; {grant} begins on {grant.exception.not_before}"
            yield self._found("exception-missing", operation, text, line)
            return
        named = "" if declaration.exception is UNSET else f" called {declaration.exception}"
        text = f"strategy none needs a live exception{named} for this operation in {where}, and there is none"
        yield self._found("exception-missing", operation, text, line)

    def _weakened(
        self, operation: ApiOperation, before: JudgedOperation, declaration: Declaration
    ) -> Iterator[GateFinding]:
        old = before.declaration
        assert old is not None
        losses = []
        if lost := [mechanism for mechanism in old.mechanisms if mechanism not in declaration.mechanisms]:
            losses.append(f"{' and '.join(lost)} is gone")
        if old.retention is not UNSET and (declaration.retention is UNSET or declaration.retention < old.retention):
            now = "unsaid" if declaration.retention is UNSET else str(declaration.retention)
            losses.append(f"retention was {old.retention}, is {now}")
        for word in ("header", "field", "ledger", "delivery"):
            was, is_now = getattr(old, word), getattr(declaration, word)
            if was is not UNSET and was != is_now:
                losses.append(f"{word} was {was}, is {'unsaid' if is_now is UNSET else is_now}")
        if old.route_class != declaration.route_class and declaration.route_class not in {UNSET, "at_most_once"}:
            losses.append(f"class was {old.route_class or 'at_most_once'}, is {declaration.route_class}")
        if losses:
            text = f"protects less than before, which breaks callers that repeat: {'; '.join(losses)}"
            yield self._found("strategy-weakened", operation, text, operation.extension_line("x-idempotency"))

    def _sign_off(
        self,
        operation: ApiOperation,
        rule: SurfaceRule | None,
        effect: RepetitionEffect,
        declaration: Declaration | None,
    ) -> Iterator[GateFinding]:
        review = None if declaration is None or declaration.review is UNSET else declaration.review
        if review is not None:
            yield from self._signed(operation, review)
        elif rule is not None and effect is RepetitionEffect.SINGLE and operation.kind is OperationKind.REQUEST:
            is_new = self._before is not None and operation.key not in self._known
            if rule.review == "all" or (rule.review == "new" and is_new):
                text = (
                    "is new on this surface: write who reviewed its design, when, and where: "
                    "x-idempotency.review: {by: PERSON, date: 2026-11-24, link: https://…}"
                )
                line = operation.extension_line("x-idempotency")
                yield self._found("review-missing", operation, text, line)

    def _signed(self, operation: ApiOperation, review: DesignReview) -> Iterator[GateFinding]:
        written = operation.node["x-idempotency"]
        line = operation.file.line(written, "review")
        if review.date > self._bench.now.astimezone(UTC).date():
            text = f"x-idempotency.review.date must not be in the future, got {review.date}"
            yield self._found("review-invalid", operation, text, line)
        owners = self._bench.owners
        if owners is None:
            return
        path = self._bench.repository_path(self._path)
        allowed = owners.of(path)
        teams = self._gate.review.teams
        if allowed and not any(may_sign(person, allowed, teams) for person in review.people):
            text = (
                f"x-idempotency.review.by must be an owner of {path} in {owners.file} ({' '.join(allowed)}), "
                f"or in one of these teams by review.teams, got {', '.join(review.people)}"
            )
            yield self._found("review-invalid", operation, text, line)

    def _excused(self, found: GateFinding, operation: ApiOperation) -> bool:
        grants = self._bench.rules.granted(_names(operation), found.kind, self._bench.now)
        return any(state is State.LIVE for _, state in grants)

    def _levelled(self, found: GateFinding, rule: SurfaceRule | None) -> GateFinding | None:
        """The finding at the level that the gate gives it; None where it is off."""
        level = self._gate.severities.get(found.kind, BY_ID[found.kind].level)
        if level == "off":
            return None
        is_note = level == "note" or (rule is not None and rule.severity == "note")
        linked = f"{found.finding.rule} ({self._gate.pages}/{found.kind}.md)"
        finding = replace(found.finding, rule=linked, rule_id=found.kind)
        return GateFinding(found.kind, finding, found.operation, note=is_note)

    def _lacking(self, operation: ApiOperation, lack: Unproven) -> GateFinding:
        return GateFinding(lack.kind, Finding(lack.file, lack.line, operation.key, lack.rule), operation.key)

    def _found(self, kind: str, operation: ApiOperation, rule: str, line: int) -> GateFinding:
        return GateFinding(kind, Finding(operation.file.name, line, operation.key, rule), operation.key)


def _names(operation: ApiOperation) -> set[str]:
    return {operation.key, f"{operation.method} {operation.written_path}", operation.id} - {""}


def _strategy_of(declaration: Declaration | None) -> bool:
    return declaration is not None and declaration.strategy != "none"


def _accepted(declaration: Declaration, rule: SurfaceRule) -> bool:
    declared = set(declaration.mechanisms)
    return any(({part} if isinstance(part, str) else set(part)) <= declared for part in rule.accepts)


def _unresolved(findings: Sequence[Finding]) -> list[Finding]:
    return [replace(finding, rule_id="unresolved") for finding in findings]


def _no_mapping(root: Target) -> Finding:
    return Finding(root.file.name, 1, "", "must be a description of an API: OpenAPI, Swagger 2.0 or AsyncAPI 3")
