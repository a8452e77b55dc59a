from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.governance.documents.finding import Finding
from sidecar.governance.policy.gate_rules import GateRules, gate_rules
from sidecar.governance.policy.waivers import State

SHIPPED = (Path(__file__).resolve().parents[3] / "config" / "gate.yaml").read_text(encoding="utf-8")
EXCEPTION = """
exceptions:
  - id: GX-1
    operation: createPayment
    reason: The acquirer dedupes by order number
    ticket: PAY-1
    owner: team-payments
    approved_by: [a.lee, b.ortiz]
    not_before: 2026-11-20
    expires: 2026-12-10
"""
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def read(exceptions: str) -> tuple[GateRules, list[str]]:
    findings: list[Finding] = []
    found = gate_rules(SHIPPED.replace("\nexceptions: []\n", exceptions).encode(), "gate.yaml", findings)
    assert found is not None
    return found, [str(finding) for finding in findings]


def test_an_exception_that_two_people_approved_holds() -> None:
    rules, findings = read(EXCEPTION)

    assert findings == []
    ((grant, state),) = rules.granted({"createPayment"}, None, NOW)
    assert str(grant).startswith("exception GX-1 (gate.yaml:")
    assert state is State.LIVE


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[a.lee, b.ortiz]", "[a.lee]", "must name two people: every exception of the gate is hard"),
        ("[a.lee, b.ortiz]", "[a.lee, A.Lee]", "must name two people"),
        ("[a.lee, b.ortiz]", "[a.lee, Team-Payments]", "must not be approved by its owner"),
        ("2026-12-10", "2027-01-10", "must be at most 30 days after not_before: every exception of the gate is hard"),
        ("2026-12-10", "2026-11-20", "must be after not_before"),
        ("The acquirer dedupes by order number", "because", "must have 20 characters or more"),
        ("    ticket: PAY-1\n", "", "ticket: is required"),
        ("    expires: 2026-12-10\n", "", "expires: is required"),
        (
            "exceptions:\n",
            "exceptions:" + EXCEPTION.partition("exceptions:")[2].replace("PAY-1", "PAY-2"),
            "must not be another exception's id",
        ),
    ],
)
def test_an_exception_is_held_to_what_a_policys_hard_one_is(old: str, new: str, said: str) -> None:
    assert old in EXCEPTION

    rules, findings = read(EXCEPTION.replace(old, new, 1))

    assert said in "\n".join(findings)
    assert len(rules.grants) <= 1


def test_an_exception_is_for_one_operation_and_one_rule() -> None:
    rules, _ = read(EXCEPTION.replace("    reason:", "    rule: key-retention\n    reason:"))

    assert [*rules.granted({"createPayment"}, "key-retention", NOW)] != []
    assert [*rules.granted({"createPayment"}, None, NOW)] == []
    assert [*rules.granted({"createPayment"}, "key-parameter", NOW)] == []
    assert [*rules.granted({"createRefund"}, "key-retention", NOW)] == []


def test_of_several_exceptions_the_live_one_comes_first() -> None:
    over = EXCEPTION.partition("exceptions:\n")[2].replace("GX-1", "GX-0")
    over = over.replace("2026-11-20", "2026-10-01").replace("2026-12-10", "2026-10-30")
    rules, findings = read("\nexceptions:\n" + over + EXCEPTION.partition("exceptions:\n")[2])

    assert findings == []
    assert [state for _, state in rules.granted({"createPayment"}, None, NOW)] == [State.LIVE, State.EXPIRED]
