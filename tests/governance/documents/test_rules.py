import re

import pytest

from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.rules import RULES, rule_of


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("can not be read: No such file or directory", "unreadable"),
        (
            "must be at most 0.2 (guardrail, policy.yaml:4); exception EX-1 (p.yaml:9) expired on 2026-12-05",
            "guardrail",
        ),
        ("must be at most 0.5 (ceiling of the guardrail, built in)", "exception-ceiling"),
        ("must not be approved by its owner", "exception-approval"),
        ("must name two people: the guardrail's level is hard", "exception-approval"),
        ("must be at most 30 days after not_before: the guardrail is hard (policy.yaml:4)", "exception-term"),
        ("must be the name of one service: an exception is never for all of them", "exception-scope"),
        ("is not known; did you mean ratio?", "unknown"),
        ("is neither a policy nor a sidecar file", "unknown"),
        ("is required where keys are honoured: how long they are kept", "required"),
        ("must not be given twice; line 4 has it already", "duplicate"),
        ("must be a duration with its unit, like 250ms, 2s, 1m or 24h", "unit"),
        ("must be true or false, or quoted: some readers take it for a boolean", "syntax"),
        ("is not YAML: did not find expected ',' or ']'", "syntax"),
        ("must rise: the policy is loosened", "version"),
        ("must be between 1 and 10", "bounds"),
        ("must have 20 characters or more", "bounds"),
        ("is over since 2026-12-05: take it out", "exception-life"),
        ("must be adaptive or fixed", "value"),
    ],
)
def test_every_finding_is_of_a_kind(text: str, identity: str) -> None:
    assert rule_of(Finding("p.yaml", 1, "x", text)).id == identity


def test_ids_are_words_that_are_their_own() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", rule.id) for rule in RULES)
    assert all(rule.summary.endswith(".") and rule.advice.endswith(".") for rule in RULES)
