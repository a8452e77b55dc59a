import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.governance.documents.finding import RuleId
from sidecar.governance.documents.rules import RULES


def test_every_kind_of_rule_is_described_once() -> None:
    assert [rule.id for rule in RULES] == list(RuleId)


def test_ids_are_words_that_are_their_own() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", rule.id) for rule in RULES)
    assert all(rule.summary.endswith(".") and rule.advice.endswith(".") for rule in RULES)


ROOT = Path(__file__).resolve().parents[3]
FINER_WORDS = re.compile(
    r"must be a mapping|must be a list|must be text|must be true or false|goes? with |needs a |one of them"
    r"|must be over 0s|must be at most|nested deeper|reserved name|no service of this file"
    r"|not be (?:another|that of another|the same)"
)
"""Sentences that one of the finer kinds is about."""


def findings_without_a_kind(folder: str) -> Iterator[str]:
    """The calls that make a finding with a sentence of a finer kind, and leave its kind at the generic one."""
    for path in sorted((ROOT / "sidecar" / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="lacking" | "broken" | "finding") | ast.Name(id="Finding")):
                    text = ast.unparse(node)
                    if FINER_WORDS.search(text) and "RuleId." not in text and "rule_id" not in text:
                        yield f"{path.relative_to(ROOT)}:{node.lineno} {text[:100]}"


@pytest.mark.parametrize("folder", ["cli", "governance", "inject", "migration", "simulator"])
def test_a_sentence_that_has_a_finer_kind_is_not_a_finding_of_the_generic_one(folder: str) -> None:
    assert list(findings_without_a_kind(folder)) == []
