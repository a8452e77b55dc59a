from pathlib import Path

import pytest

from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.gate import GateDocument, read_gate
from sidecar.governance.documents.yaml import parse

CONFIG = Path(__file__).resolve().parents[3] / "config"
SHIPPED = (CONFIG / "gate.yaml").read_text(encoding="utf-8")


def read(text: str) -> tuple[GateDocument | None, list[str]]:
    findings: list[Finding] = []
    return read_gate(parse(text.encode(), "gate.yaml"), findings), [str(finding) for finding in findings]


def test_the_shipped_rules_have_the_six_classes_with_their_mechanisms() -> None:
    document, findings = read(SHIPPED)

    assert findings == []
    assert document is not None
    assert {rule.id: rule.accepts for rule in document.rules} == {
        "events": ["event-id"],
        "transfers": [["key", "ledger"]],
        "payments": ["key"],
        "orders": ["natural-key", "key"],
        "messages": ["send-key"],
        "accounts": ["conditional", "natural-key", "key"],
    }


def test_the_built_in_rules_are_the_shipped_ones() -> None:
    built_in = CONFIG.parent / "sidecar" / "review" / "gate.yaml"

    assert built_in.read_text(encoding="utf-8") == SHIPPED, "make docs"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version: 1", "version: 0", "version: must be at least 1"),
        ("owner: platform-reliability\n", "", "owner: is required"),
        ("accepts: [key]", "accepts: [magic]", "accepts[0]: must be conditional, event-id"),
        ("accepts: [key]", "accepts: []", "accepts: must have 1 or more entries"),
        ("id: payments", "id: orders", "id: must not be another rule's id"),
        ("id: payments", "id: Payments!", "id: must be a name of at most 63"),
        ("statuses: [409, 422]", "statuses: [500]", "key.statuses[0]: must be 4xx"),
        ('"**/search"', "search", "must be a pattern of paths"),
        ("[send email,", "[Send Email,", "must be one or more lower-case words"),
        ("severities: {}", "severities: {key-parameter: 'quiet'}", "must be error, note or off"),
        ("    match:\n", "    matches:\n", "is not known; did you mean match?"),
    ],
)
def test_a_mistake_is_found_at_its_place(old: str, new: str, said: str) -> None:
    assert old in SHIPPED

    _, findings = read(SHIPPED.replace(old, new, 1))

    assert said in "\n".join(findings)
