"""The partner contract: what it says, and which changes break those who keep to it."""

import json
from typing import Any

import pytest

from sidecar.idempotency.partner_contract import ContractChange, contract_changes, partner_contract
from tests.fakes.key_gates import BEST_EFFORT, keyed_route


def document(*, path: str = "/pay", max_request_bytes: int = 1 << 20, **terms: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        json.dumps(partner_contract([keyed_route(path=path, **terms)], max_request_bytes))
    )
    return found


def test_the_version_changes_with_what_a_partner_can_see_and_with_nothing_else() -> None:
    assert document()["version"] == document()["version"]
    assert document()["version"] != document(retention=3600.0)["version"]
    assert document()["version"] == document(ignored=(("a",),))["version"]


def test_a_key_of_the_body_is_said_as_a_pointer() -> None:
    assert document(header=b"", pointer=("a/b", "c~d"))["routes"][0]["key"] == {"pointer": "/a~1b/c~0d"}


@pytest.mark.parametrize(
    ("old", "new", "breaks", "what"),
    [
        ({}, {"retention": 3600.0}, True, "retention is 1h, was 24h"),
        ({}, {"retention": 172800.0}, False, "retention is 48h, was 24h"),
        ({}, {"header": b"x-key"}, True, 'key is {"header": "x-key"}, was {"header": "idempotency-key"}'),
        ({"required": False}, {}, True, "a key is required"),
        ({}, {"required": False}, False, "a key is not required"),
        ({}, {"rejects": True}, True, "after retention a key is rejected"),
        ({"rejects": True}, {}, False, "after retention a key is new"),
        ({}, BEST_EFFORT, True, 'class is "best_effort", was "at_most_once"'),
        ({}, {"path": "/v2/pay"}, True, 'path is "/v2/pay", was "/pay"'),
        ({}, {"scope": (b"x-tenant",)}, True, 'scope is ["x-tenant"], was ["authorization"]'),
    ],
)
def test_a_change_of_a_route_breaks_or_does_not(
    old: dict[str, Any], new: dict[str, Any], breaks: bool, what: str
) -> None:
    assert list(contract_changes(document(**old), document(**new))) == [ContractChange(breaks, "pay", what)]


def test_a_smaller_request_breaks_and_a_larger_one_does_not() -> None:
    (smaller,) = contract_changes(document(), document(max_request_bytes=1024))
    (larger,) = contract_changes(document(max_request_bytes=1024), document())

    assert str(smaller) == "breaking: max_request is 1KiB, was 1MiB"
    assert not larger.breaks


def test_another_status_breaks() -> None:
    new = document()
    new["answers"]["in_flight"] = 425

    assert list(map(str, contract_changes(document(), new))) == ["breaking: in_flight is answered 425, was 409"]


def test_a_route_that_is_gone_breaks_and_a_new_one_breaks_if_it_requires_a_key() -> None:
    empty = json.loads(json.dumps(partner_contract([], 1 << 20)))

    assert [change.breaks for change in contract_changes(document(), empty)] == [True]
    assert [change.breaks for change in contract_changes(empty, document())] == [True]
    assert [change.breaks for change in contract_changes(empty, document(required=False))] == [False]


@pytest.mark.parametrize(
    "wrong", [{}, {"form": 2, "routes": []}, {"form": 1, "routes": [{}]}, {"form": 1, "routes": 7}]
)
def test_what_is_no_contract_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"contract|name"):
        list(contract_changes(wrong, document()))
