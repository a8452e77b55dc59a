import pytest

from sidecar.engine.policy import LimitKind
from sidecar.governance.documents.bound import Bound, written
from sidecar.governance.documents.units import Duration, Size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Duration(2), "2s"),
        (Size(65536), "64KiB"),
        (0.15, "0.15"),
        (3, "3"),
        (True, "true"),
        (LimitKind.FIXED, "fixed"),
        (frozenset({503, 429}), "[429, 503]"),
        (["reset", "timeout"], "[reset, timeout]"),
    ],
)
def test_a_setting_is_written_as_people_write_it(value: object, text: str) -> None:
    assert written(value) == text


@pytest.mark.parametrize(
    ("bound", "value", "rule"),
    [
        (Bound("p.yaml:4", low=1, high=3), 3, None),
        (Bound("p.yaml:4", low=1, high=3), 4, "must be at most 3 (guardrail, p.yaml:4)"),
        (Bound("p.yaml:4", low=1, high=3), 0, "must be at least 1 (guardrail, p.yaml:4)"),
        (Bound("p.yaml:4", only=frozenset({"full"})), "none", "must be only full (guardrail, p.yaml:4)"),
        (Bound("p.yaml:4", fixed=True), 2, "must stay 1 (guardrail, p.yaml:4)"),
        (Bound("p.yaml:4", fixed=True), 1, None),
    ],
)
def test_a_bound_names_the_rule_that_a_value_breaks(bound: Bound, value: object, rule: str | None) -> None:
    assert bound.broken(value, settled=1) == rule


def test_an_exception_lets_a_value_as_far_as_it_says_and_no_further() -> None:
    bound = Bound("p.yaml:4", high=0.2, ceiling=0.5)

    assert bound.excuses(0.3, 0.35)
    assert not bound.excuses(0.4, 0.35)
    assert bound.out_of_reach(0.6) == "must be at most 0.5 (ceiling of the guardrail, p.yaml:4)"
