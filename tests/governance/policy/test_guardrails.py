import pytest

from sidecar.engine.policy import IDEMPOTENT_METHODS, LimitKind
from sidecar.governance.documents.bound import Bound
from sidecar.governance.documents.document import read_policy
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.units import Duration
from sidecar.governance.documents.yaml import parse
from sidecar.governance.policy.guardrails import BASELINE_GUARDRAILS, read_guardrails


def guardrails(text: str) -> tuple[dict[str, Bound], list[str]]:
    """Guardrails, one on a line from line 4 on."""
    tree = parse(f"version: 1\nowner: platform\nguardrails:\n{text}".encode(), "p.yaml")
    findings: list[Finding] = []
    policy = read_policy(tree, findings)
    assert policy is not None
    bounds = read_guardrails(policy.guardrails, tree, findings)
    return bounds, [str(finding) for finding in findings]


def test_a_range_bounds_from_both_sides() -> None:
    bounds, _ = guardrails("  timeout: {min: 1s, max: 30s}\n")

    bound = bounds["timeout"]

    assert bound.broken(Duration(1), Duration(10)) is None
    assert bound.broken(Duration(30), Duration(10)) is None
    assert bound.broken(Duration(0.5), Duration(10)) == "must be at least 1s (guardrail, p.yaml:4)"
    assert bound.broken(Duration(31), Duration(10)) == "must be at most 30s (guardrail, p.yaml:4)"


def test_only_lists_every_word_that_may_be_said() -> None:
    bounds, _ = guardrails("  concurrency.limit: {only: [adaptive]}\n")

    bound = bounds["concurrency.limit"]

    assert bound.broken(LimitKind.ADAPTIVE, LimitKind.ADAPTIVE) is None
    assert bound.broken(LimitKind.FIXED, LimitKind.ADAPTIVE) == "must be only adaptive (guardrail, p.yaml:4)"


def test_only_bounds_each_item_of_a_list() -> None:
    bounds, _ = guardrails("  retry.statuses: {only: [429, 503]}\n")

    bound = bounds["retry.statuses"]

    assert bound.broken(frozenset({503}), frozenset({503})) is None
    assert bound.broken(frozenset({500, 503}), frozenset({503})) == "must be only 429, 503 (guardrail, p.yaml:4)"


def test_only_idempotent_means_every_idempotent_method() -> None:
    bounds, _ = guardrails("  retry.methods: {only: [idempotent]}\n")

    assert bounds["retry.methods"].broken(IDEMPOTENT_METHODS, IDEMPOTENT_METHODS) is None


def test_a_fixed_setting_stays_what_the_platform_says() -> None:
    bounds, _ = guardrails("  timeout: {fixed: true}\n")

    bound = bounds["timeout"]

    assert bound.broken(Duration(10), Duration(10)) is None
    assert bound.broken(Duration(9), Duration(10)) == "must stay 10s (guardrail, p.yaml:4)"


def test_what_a_document_does_not_bound_keeps_its_built_in_bound() -> None:
    bounds, findings = guardrails("  budget.ratio: {max: 0.3}\n")

    assert findings == []
    assert bounds.keys() == BASELINE_GUARDRAILS.keys()
    assert bounds["budget.ratio"] == Bound("p.yaml:4", high=0.3, ceiling=0.5)
    assert bounds["retry.max_attempts"] is BASELINE_GUARDRAILS["retry.max_attempts"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("budget.ration: {max: 0.2}", "guardrails.budget.ration: is not known; did you mean budget.ratio?"),
        ("budget.ratio: {}", "guardrails.budget.ratio: must be {min, max}, {only: [...]} or {fixed: true}"),
        (
            "budget.ratio: {max: 1, fixed: true}",
            "guardrails.budget.ratio: must be {min, max}, {only: [...]} or {fixed: true}",
        ),
        ("budget.ratio: {max: high}", 'guardrails.budget.ratio.max: must be a number, got "high"'),
        (
            "timeout: {max: 5}",
            "guardrails.timeout.max: must be a duration with its unit, like 250ms, 2s, 1m or 24h, got 5",
        ),
        ("timeout: {min: 20s, max: 5s}", 'guardrails.timeout.min: must be at most max, got "20s"'),
        (
            "timeout: {fixed: false}",
            "guardrails.timeout.fixed: must be true; leave the guardrail out otherwise, got false",
        ),
        (
            "retry.statuses: {max: 503}",
            "guardrails.retry.statuses: must be {only: [...]} or {fixed: true}: the setting has no order",
        ),
        (
            "concurrency.limit: {only: [auto]}",
            'guardrails.concurrency.limit.only[0]: must be adaptive or fixed, got "auto"',
        ),
        ("timeout: {maximum: 5s}", "guardrails.timeout.maximum: is not known; did you mean max?"),
    ],
)
def test_a_guardrail_that_bounds_nothing_is_found(text: str, finding: str) -> None:
    _, findings = guardrails(f"  {text}\n")

    assert findings[0] == f"p.yaml:4: {finding}"
