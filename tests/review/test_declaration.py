import pytest
from msgspec import UNSET

from sidecar.governance.documents.finding import Finding
from sidecar.review.declaration import declaration_of
from tests.review.descriptions import HEAD, operations


def declared(text: str) -> tuple[object, list[str]]:
    (one,) = operations(f"{HEAD}paths:\n  /a:\n    post:\n      operationId: a\n{text}")
    findings: list[Finding] = []
    return declaration_of(one, findings), [str(finding) for finding in findings]


def test_everything_that_can_be_declared() -> None:
    declaration, findings = declared("""\
      x-idempotency:
        strategy: [key, ledger]
        header: Idempotency-Key
        ledger: /ref
        retention: 24h
        class: at_most_once
        scope: [x-tenant]
        ignore_fields: [/trace]
        after_retention: reject
        wait: 2s
        review: {by: [a.lee, b.ortiz], date: 2026-11-24, link: "https://reviews.example/1"}
""")

    assert findings == []
    assert declaration.mechanisms == ("key", "ledger")
    assert (declaration.retention, declaration.wait) == (86400.0, 2.0)
    assert declaration.review.people == ("a.lee", "b.ortiz")
    assert declaration.field is UNSET


def test_nothing_declared_is_no_declaration() -> None:
    assert declared("      x-other: {strategy: key}\n") == (None, [])


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{strategy: magic}", "must be conditional, event-id, key, ledger, natural-key, none or send-key or a list"),
        ("{strategy: [key, none]}", "x-idempotency.strategy[1] must be"),
        ("{strategy: key, retention: 86400}", "x-idempotency.retention must be a duration with its unit"),
        ("{strategy: key, review: {by: a.lee, date: soon, link: x}}", "x-idempotency.review.date must be a date"),
        ("{strategy: key, stategy: key}", "x-idempotency.stategy is not known; did you mean strategy?"),
        ("[]", "x-idempotency must be a mapping"),
    ],
)
def test_what_can_not_be_understood_is_found_at_its_line(written: str, said: str) -> None:
    declaration, findings = declared(f"      x-idempotency: {written}\n")

    assert declaration is None
    assert said in "\n".join(findings)
    assert all(finding.startswith("api.yaml:7: POST /a: ") for finding in findings)
