"""Findings about documents: file, line, field, rule and value, so that one reading is enough to mend it."""

import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import StrEnum

from msgspec import Struct

from sidecar.net import redacted

SHOWN_CHARACTERS = 80
"""A longer value is cut: the line says where the whole of it stands."""
FINDINGS_CEILING = 100
"""Enough to mend a document by; more of them only cost time."""


class RuleId(StrEnum):
    """The kinds of rules that documents break: stable, since tools count, silence and link findings by them.

    `rules.py` says of each what it is about. The review of API descriptions has kinds of its own.
    """

    UNREADABLE = "unreadable"
    GUARDRAIL = "guardrail"
    EXCEPTION_CEILING = "exception-ceiling"
    EXCEPTION_APPROVAL = "exception-approval"
    EXCEPTION_TERM = "exception-term"
    EXCEPTION_SCOPE = "exception-scope"
    UNKNOWN = "unknown"
    REQUIRED = "required"
    DUPLICATE = "duplicate"
    UNIT = "unit"
    SYNTAX = "syntax"
    VERSION = "version"
    BOUNDS = "bounds"
    EXCEPTION_LIFE = "exception-life"
    POLICY_LIFE = "policy-life"
    POLICY_ELSEWHERE = "policy-elsewhere"
    TYPE = "type"
    CHOICE = "choice"
    FORM = "form"
    COMBINATION = "combination"
    RESERVED = "reserved"
    SIGNATURE = "signature"
    VALUE = "value"


class Finding(Struct, frozen=True):
    """One broken rule. `line` is None for the file as a whole; `value` is what was given, None when nothing was.

    `rule_id` is the stable id of the kind of rule: one of RuleId, or of the review of API descriptions.
    """

    file: str
    line: int | None
    field: str
    rule: str
    value: str | None = None
    rule_id: str = RuleId.VALUE

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        field = f" {self.field}:" if self.field else ""
        value = "" if self.value is None else f", got {self.value}"
        return f"{place}:{field} {self.rule}{value}"


class RuleBreach(Struct, frozen=True):
    """A rule that a value breaks, in words, and its kind."""

    rule: str
    rule_id: RuleId


class BrokenRule(ValueError):
    """A written form that can not be read. The text is the rule that it breaks, `rule_id` the kind of that rule."""

    def __init__(self, rule: str, rule_id: RuleId) -> None:
        super().__init__(rule)
        self.rule_id = rule_id


class InvalidDocument(ValueError):
    """Documents that can not be put in force. `findings` has every broken rule; the text is one line for each."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))


def dotted(path: Sequence[str | int]) -> str:
    """A path as people write it: `destinations.payments.endpoints[0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def shown(value: object) -> str:
    """A value as it stands in a finding: text in quotes, everything else bare, cut at SHOWN_CHARACTERS.

    Without the secrets of URLs: findings are logged, and shown to all who may ask whether the sidecar is ready.
    """
    text = redacted(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def unknown(word: str, known: Iterable[str]) -> str:
    """The rule that an unknown word breaks, with the nearest known one when there is one near."""
    return f"is not known{near(word, known)}"


def near(word: str, known: Iterable[str]) -> str:
    """`; did you mean …?` with the nearest known word; nothing when none is near."""
    nearest = get_close_matches(word, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
