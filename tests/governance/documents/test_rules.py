import re

from sidecar.governance.documents.finding import RuleId
from sidecar.governance.documents.rules import RULES


def test_every_kind_of_rule_is_described_once() -> None:
    assert [rule.id for rule in RULES] == list(RuleId)


def test_ids_are_words_that_are_their_own() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", rule.id) for rule in RULES)
    assert all(rule.summary.endswith(".") and rule.advice.endswith(".") for rule in RULES)
