"""The kinds of rules that documents break, for tools that count, silence and link findings, and for people."""

from typing import Final

from msgspec import Struct

from sidecar.governance.documents.finding import RuleId


class Rule(Struct, frozen=True):
    """One kind. `id` is interface: it never changes. A `note` refuses nothing."""

    id: RuleId
    summary: str
    advice: str
    note: bool = False


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        RuleId.UNREADABLE,
        "A document can not be read.",
        "See that the file is there, and that the user who runs the check may read it.",
    ),
    Rule(
        RuleId.GUARDRAIL,
        "A setting is past its guardrail, and no live exception of this service lets it.",
        "Stay inside the guardrail, or ask the owner of the policy for an exception.",
    ),
    Rule(
        RuleId.EXCEPTION_CEILING,
        "An exception goes further than its guardrail lets exceptions go.",
        "Ask for less; only the owner of the policy can raise `ceiling`, or lower `floor`.",
    ),
    Rule(
        RuleId.EXCEPTION_APPROVAL,
        "An exception is not approved as it has to be.",
        "Another person than the owner has to approve; two people where the guardrail's level is hard.",
    ),
    Rule(
        RuleId.EXCEPTION_TERM,
        "An exception does not end in time.",
        "At most 90 days, 30 where the guardrail's level is hard; renew it by another exception.",
    ),
    Rule(
        RuleId.EXCEPTION_SCOPE,
        "An exception does not say for whom it is.",
        "Name the services, never all of them.",
    ),
    Rule(
        RuleId.UNKNOWN,
        "A key, a setting or a document is not known.",
        "Unknown keys are refused, since a typo would silently leave a default in force.",
    ),
    Rule(RuleId.REQUIRED, "Something required is missing.", "Say it; there is no default."),
    Rule(
        RuleId.DUPLICATE,
        "Something is said twice.",
        "Keep one of them.",
    ),
    Rule(
        RuleId.UNIT,
        "A duration or a size has no unit.",
        "Write 250ms, 2s or 1m, 64KiB or 1MiB, so that no unit has to be guessed.",
    ),
    Rule(
        RuleId.SYNTAX,
        "The document is not the part of YAML that every reader understands alike.",
        "Write booleans as true or false, quote what other readers take for something else, and write aliases out.",
    ),
    Rule(
        RuleId.VERSION,
        "A policy is loosened, and its version does not rise.",
        "Raise `version` with every change: a fleet tells policies apart by it.",
    ),
    Rule(
        RuleId.BOUNDS,
        "A number is outside of what can be.",
        "The engine's own bounds hold for every policy; docs/settings.md lists them.",
    ),
    Rule(
        RuleId.EXCEPTION_LIFE,
        "An exception is over, about to end, not live yet, not used or not needed.",
        "Take out what is over or not needed; make ready for what ends.",
        note=True,
    ),
    Rule(
        RuleId.POLICY_LIFE,
        "A policy is past its own `expires`, or soon will be.",
        "Publish its successor: past that day it may be held back on its way, and every sidecar alarms.",
        note=True,
    ),
    Rule(
        RuleId.POLICY_ELSEWHERE,
        "A sidecar file is judged without the policy it will meet.",
        "Give the policy to the check as well.",
        note=True,
    ),
    Rule(
        RuleId.TYPE,
        "A value is of another type than is wanted here.",
        "Write a mapping, a list, text, a number, true or false, as the finding says.",
    ),
    Rule(RuleId.CHOICE, "A word is none of those that may stand here.", "The finding lists the words."),
    Rule(
        RuleId.FORM,
        "A text has not the form that is wanted here.",
        "The finding shows the form: of a URL, an address, a name, a date.",
    ),
    Rule(
        RuleId.COMBINATION,
        "Two things do not go together, or one lacks the other.",
        "Take one of them out, or add what is missing: the finding names it.",
    ),
    Rule(RuleId.RESERVED, "A name or place is reserved.", "Choose another name, or the place that the finding names."),
    Rule(
        RuleId.SIGNATURE,
        "A document is not signed as it has to be.",
        "Sign these very bytes with keys that are pinned: `sidecar policy sign`.",
    ),
    Rule(RuleId.VALUE, "A value is not of the kind that is wanted here.", "The finding says which kind is."),
)
"""Every kind there is, by the order of RuleId."""
