"""The rules of the review gate as a document: which operations are sensitive, what each must prove, who may be excused.

It belongs to the platform, like the policy. What an operation proves is judged by `sidecar.review`.
"""

from datetime import date
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.document import Text
from sidecar.governance.documents.finding import Finding, RuleId
from sidecar.governance.documents.ingress_routes import FieldName
from sidecar.governance.documents.mapping import Document
from sidecar.governance.documents.units import Duration
from sidecar.governance.documents.yaml import Tree

Strategy = Literal["key", "natural-key", "conditional", "event-id", "send-key", "ledger"]
"""The strategies that keep an operation from a second effect. `none` is no strategy: it needs an exception."""

RuleName = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z][a-z0-9-]{0,62}\Z",
        extra={"rule": "must be a name of at most 63 of a-z, 0-9 and '-', beginning with a letter"},
    ),
]
PathGlob = Annotated[
    str,
    Meta(
        pattern=r"\A(/|\*\*/)\S*\Z",
        extra={"rule": "must be a pattern of paths like /v1/payments/** or **/payments/**"},
    ),
]
Words = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z0-9]+( [a-z0-9]+)*\Z",
        extra={"rule": "must be one or more lower-case words, like refund or send email"},
    ),
]

Verb = Annotated[str, Meta(pattern=r"\A[a-z]+\Z", extra={"rule": "must be one lower-case word, like cancel"})]


class KeyRules(Document, frozen=True, kw_only=True):
    """`key`: what the contract of a stored key has to say wherever it is offered."""

    headers: Annotated[list[FieldName], Meta(min_length=1)] = field(default_factory=lambda: ["Idempotency-Key"])
    statuses: Annotated[list[int], Meta(min_length=1)] = field(default_factory=lambda: [409, 422])


class ReviewRules(Document, frozen=True, kw_only=True):
    """`review`: the people of each team that CODEOWNERS may name, since a gate can ask no directory."""

    teams: dict[Text, list[Text]] = field(default_factory=dict)


class SurfaceMatch(Document, frozen=True, kw_only=True):
    """Operations by their tags, paths and words. An operation that fits one of them is meant."""

    tags: list[Text] = field(default_factory=list)
    paths: list[PathGlob] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)


class SurfaceRule(Document, frozen=True, kw_only=True):
    """One rule: the operations of a surface, and the mechanisms of which each of them must prove one.

    An entry of `accepts` that is a list wants all of it. `kinds` are whom the rule is for: requests to the service, or
    what it sends. The first rule that an operation fits is its rule. `unless` takes operations out again: by a path
    always, by a tag or a word only what a tag or a word put in.
    """

    id: RuleName
    rationale: Annotated[str, Meta(min_length=20)]
    example: Text
    accepts: Annotated[list[list[Strategy] | Strategy], Meta(min_length=1)]
    severity: Literal["error", "note"] = "error"
    kinds: list[Literal["request", "webhook", "callback", "event"]] = field(default_factory=lambda: ["request"])
    match: SurfaceMatch = SurfaceMatch()
    unless: SurfaceMatch = SurfaceMatch()
    min_retention: Duration = Duration(86400.0)
    review: Literal["new", "all", "never"] = "new"


class GateException(Document, frozen=True, kw_only=True):
    """A written, reviewed and bounded leave for one operation to be without a strategy, or to break one rule."""

    id: Text
    operation: Text
    description: Text | UnsetType = UNSET
    rule: RuleName | UnsetType = UNSET
    reason: Annotated[str, Meta(min_length=20)]
    ticket: Text
    owner: Text
    approved_by: Annotated[list[Text], Meta(min_length=1)]
    not_before: date
    expires: date


class GateDocument(Document, frozen=True, kw_only=True):
    """The gate's rules, in the order in which they are tried."""

    version: Annotated[int, Meta(ge=1)]
    owner: Text
    pages: Text = "docs/gate"
    key: KeyRules = field(default_factory=KeyRules)
    review: ReviewRules = field(default_factory=ReviewRules)
    reads: SurfaceMatch = SurfaceMatch()
    effects: Annotated[list[Verb], Meta(min_length=1)]
    rules: Annotated[list[SurfaceRule], Meta(min_length=1)]
    severities: dict[RuleName, Literal["error", "note", "off"]] = field(default_factory=dict)
    exceptions: list[GateException] = field(default_factory=list)


def read_gate(tree: Tree, findings: list[Finding]) -> GateDocument | None:
    """The rules in `tree`; None when it is no mapping. With findings it serves to find more only."""
    decoder = Decoder(tree, findings)
    stand_ins = {"version": 1, "owner": "", "effects": [], "rules": []}
    document = decoder.document(GateDocument, stand_ins)
    if document is None:
        return None
    seen: set[str] = set()
    for index, rule in enumerate(document.rules):
        if rule.id in seen:
            decoder.broken(("rules", index, "id"), "must not be another rule's id", rule.id, rule_id=RuleId.DUPLICATE)
        seen.add(rule.id)
    for index, status in enumerate(document.key.statuses):
        if not 400 <= status <= 499:
            decoder.broken(("key", "statuses", index), "must be 4xx", status)
    return document
