"""The kinds of rules that documents break: stable ids for tools that count, silence and link findings."""

import re
from dataclasses import dataclass
from typing import Final

from sidecar.governance.documents.finding import Finding


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind. `id` is interface; `mark` is found in the text of each of its findings. A `note` refuses nothing."""

    id: str
    summary: str
    advice: str
    mark: re.Pattern[str]
    note: bool = False


def _rule(identity: str, summary: str, advice: str, mark: str, *, note: bool = False) -> Rule:
    return Rule(identity, summary, advice, re.compile(mark), note)


RULES: Final[tuple[Rule, ...]] = (
    _rule(
        "unreadable",
        "A document can not be read.",
        "See that the file is there, and that whoever runs the check may read it.",
        r"^can not be read",
    ),
    _rule(
        "guardrail",
        "A setting is past its guardrail, and no live exception of this service lets it.",
        "Stay inside the guardrail, or ask the owner of the policy for an exception.",
        r"\(guardrail, ",
    ),
    _rule(
        "exception-ceiling",
        "An exception goes further than its guardrail lets exceptions go.",
        "Ask for less; only the owner of the policy can raise `ceiling`, or lower `floor`.",
        r"of the guardrail, ",
    ),
    _rule(
        "exception-approval",
        "An exception is not approved as it has to be.",
        "Somebody else than the owner has to approve; two people where the guardrail's level is hard.",
        r"approved by its owner|must name two people",
    ),
    _rule(
        "exception-term",
        "An exception does not end in time.",
        "At most 90 days, 30 where the guardrail's level is hard; renew it by another exception.",
        r"days after not_before|must be after not_before",
    ),
    _rule(
        "exception-scope",
        "An exception does not say for whom it is.",
        "Name the services, never all of them.",
        r"name service or services|never for all of them",
    ),
    _rule(
        "unknown",
        "A key, a setting or a document is not known.",
        "Unknown keys are refused, since a typo would silently leave a default in force.",
        r"is not known|neither a policy nor",
    ),
    _rule("required", "Something required is missing.", "Say it; there is no default.", r"is required"),
    _rule(
        "duplicate",
        "Something is said twice.",
        "Keep one of them.",
        r"given twice|named twice|another exception's id|claim a host|must not listen where",
    ),
    _rule(
        "unit",
        "A duration or a size has no unit.",
        "Write 250ms, 2s or 1m, 64KiB or 1MiB, so that nobody has to guess.",
        r"with its unit",
    ),
    _rule(
        "syntax",
        "The document is not the part of YAML that every reader understands alike.",
        "Write booleans as true or false, quote what other readers take for something else, and write aliases out.",
        r"is not YAML|UTF-8|tabs|must be quoted|or quoted|aliases|anchor|tag|merge keys|several|"
        r"text for its keys|nested deeper|printable|finite|underscores|at most 1MiB$",
    ),
    _rule(
        "version",
        "A policy is loosened, and its version does not rise.",
        "Raise `version` with every change: a fleet tells policies apart by it.",
        r"must rise",
    ),
    _rule(
        "bounds",
        "A number is outside of what can be.",
        "The engine's own bounds hold for everybody; docs/settings.md lists them.",
        r"must be (between|at least|at most|over|5xx|408, 425)|must not be (negative|empty)|"
        r"(characters|entries) or more|or more entries",
    ),
    _rule(
        "exception-life",
        "An exception is over, about to end, not live yet, not used or not needed.",
        "Take out what is over or not needed; make ready for what ends.",
        r"is over since|is not live before|the guardrail holds again|passes no guardrail|is not used",
        note=True,
    ),
    _rule(
        "policy-life",
        "A policy is past its own `expires`, or soon will be.",
        "Publish its successor: past that day somebody may be holding it back, and every sidecar alarms.",
        r"publish its successor",
        note=True,
    ),
    _rule(
        "policy-elsewhere",
        "A sidecar file is judged without the policy it will meet.",
        "Give the policy to the check as well.",
        r"judged by the built-in guardrails only",
        note=True,
    ),
    _rule("value", "A value is not of the kind that is wanted here.", "The finding says which kind is.", ""),
)
"""In the order in which they are tried; the last fits everything."""


def rule_of(finding: Finding) -> Rule:
    """The kind of rule that a finding is about."""
    if finding.rule_id:
        return next(rule for rule in RULES if rule.id == finding.rule_id)
    return next(rule for rule in RULES if rule.mark.search(finding.rule))
