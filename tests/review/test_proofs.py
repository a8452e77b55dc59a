"""The lacks of each strategy by themselves; golden documents show them in whole descriptions."""

import pytest

from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.units import Duration
from sidecar.review.declaration import declaration_of
from sidecar.review.proofs import StrategyClaim, key_parameter
from tests.review.descriptions import HEAD, operations, rules

KEY = "{name: Idempotency-Key, in: header, required: true, schema: {type: string}}"
ANSWERS = "{'201': {}, '409': {}, '422': {}, '412': {}}"


def lacks(declaration: str, parameters: str = "[]", responses: str = ANSWERS) -> list[str]:
    text = f"{HEAD}paths:\n  /a:\n    post:\n      x-idempotency: {declaration}\n"
    (one,) = operations(f"{text}      parameters: {parameters}\n      responses: {responses}\n")
    findings: list[Finding] = []
    declared = declaration_of(one, findings)
    assert declared is not None, findings
    return [
        f"{lack.kind}: {lack.rule}" for lack in StrategyClaim(one, declared, rules().document, Duration(86400)).lacks()
    ]


def test_a_stored_key_with_all_it_needs_lacks_nothing() -> None:
    assert lacks("{strategy: key, retention: 24h}", f"[{KEY}]") == []


def test_everything_that_is_missing_is_said_at_once() -> None:
    found = lacks("{strategy: key}", responses="{}")

    assert [lack.partition(":")[0] for lack in found] == ["key-parameter", "key-responses", "key-retention"]
    assert "it has none" in found[1]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ("[{name: X-Idempotency-Token, in: header}]", "it has X-Idempotency-Token, which is another name"),
        ("[{name: PayPal-Request-Id, in: header}]", "it has PayPal-Request-Id, which is another name"),
        ("[{name: Idempotency-Key, in: cookie}]", "it has a cookie parameter Idempotency-Key"),
        ("[]", "it has none"),
    ],
)
def test_a_key_in_another_place_is_pointed_at(parameters: str, said: str) -> None:
    assert said in lacks("{strategy: key, retention: 24h}", parameters)[0]


def test_two_strategies_are_proven_both() -> None:
    found = lacks("{strategy: [key, ledger], retention: 24h, ledger: 'query:ref'}", f"[{KEY}]")

    assert [lack.partition(":")[0] for lack in found] == ["ledger-field"]


def test_the_ledger_answers_409_too() -> None:
    parameters = "[{name: ref, in: query, required: true}]"

    assert "409" in lacks("{strategy: ledger, ledger: 'query:ref'}", parameters, "{'201': {}}")[0]


def test_none_has_nothing_to_prove() -> None:
    assert lacks("{strategy: none}") == []


def test_the_first_name_that_there_is_carries_the_key() -> None:
    (one,) = operations(
        f"{HEAD}paths:\n  /a: {{post: {{parameters: [{{name: B, in: header}}, {{name: A, in: query}}]}}}}\n"
    )

    found = key_parameter(one, ("A", "B"))

    assert found is not None
    assert found.name == "B"
