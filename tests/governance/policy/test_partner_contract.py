"""The partner contract: what it says, and which changes break those who keep to it."""

import itertools
import json
from typing import Any

import pytest

from sidecar.governance.policy.contract import Redaction
from sidecar.governance.policy.partner_contract import (
    FIRST_VERSION,
    FORM,
    ContractChange,
    ContractVersion,
    contract_changes,
    partner_contract,
)
from tests.fakes.key_gates import BEST_EFFORT, keyed_route

_files = itertools.count(1)


def document(
    *, path: str = "/pay", max_request_bytes: int = 1 << 20, version: ContractVersion | None = None, **terms: object
) -> dict[str, Any]:
    """A contract, of a higher version than the last where none is given."""
    version = version or ContractVersion(7, next(_files), 0)
    found: dict[str, Any] = json.loads(
        json.dumps(partner_contract([keyed_route(path=path, **terms)], max_request_bytes, version))
    )
    return found


def test_the_digest_changes_with_what_a_partner_can_see_and_with_nothing_else() -> None:
    assert document()["digest"] == document()["digest"]
    assert document()["digest"] != document(retention=3600.0)["digest"]
    assert document()["digest"] == document(ignored=(("a",),))["digest"]


def test_what_no_document_says_has_the_digest_of_its_form() -> None:
    """Raise FORM with it: partners have no other number for what a release of the sidecar changes."""
    assert (FORM, partner_contract([keyed_route()], 1 << 20, FIRST_VERSION)["digest"]) == (1, "d095957be2d2fe75")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((7, 3, 1), (7, 3, 1)),
        ((7, 3, 1), (7, 3, 0)),
        ((7, 3, 1), (7, 2, 9)),
        ((10, 1, 0), (9, 5, 5)),
    ],
)
def test_other_terms_without_a_higher_version_are_a_finding(
    old: tuple[int, int, int], new: tuple[int, int, int]
) -> None:
    before, after = document(version=ContractVersion(*old)), document(version=ContractVersion(*new), retention=172800.0)

    (version, retention) = sorted(contract_changes(before, after), key=lambda change: change.route)

    assert str(retention) == "safe: pay: retention is 48h, was 24h"
    assert version.breaks
    assert version.what.startswith("version must rise, for the terms are others: it is")


@pytest.mark.parametrize(("old", "new"), [((7, 3, 1), (7, 3, 2)), ((7, 9, 9), (7, 10, 0)), ((9, 9, 9), (10, 1, 0))])
def test_other_terms_of_a_higher_version_are_none(old: tuple[int, int, int], new: tuple[int, int, int]) -> None:
    before, after = document(version=ContractVersion(*old)), document(version=ContractVersion(*new), retention=172800.0)

    assert [change.what for change in contract_changes(before, after)] == ["retention is 48h, was 24h"]


def test_the_same_terms_may_have_any_version() -> None:
    version = ContractVersion(7, 3, 1)

    assert list(contract_changes(document(version=version), document(version=version))) == []


def test_a_contract_of_before_there_were_numbers_is_less_than_any() -> None:
    old = {**document(), "version": "0a1b2c3d4e5f"}

    assert [change.breaks for change in contract_changes(old, document(retention=172800.0))] == [False]


def test_what_replays_lack_is_published_and_more_of_it_breaks() -> None:
    redaction = Redaction(pointers=(("card", "number"),), headers=frozenset({b"link"}))

    (more,) = contract_changes(document(), document(redaction=redaction))
    (less,) = contract_changes(document(redaction=redaction), document())

    assert document(redaction=redaction)["routes"][0]["redacted"] == ["/card/number", "link"]
    assert str(more) == "breaking: pay: replays lack /card/number, link, lacked nothing"
    assert not less.breaks


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
    old, new = document(), document()
    new["answers"]["in_flight"] = 425

    assert list(map(str, contract_changes(old, new))) == ["breaking: in_flight is answered 425, was 409"]


def test_a_route_that_is_gone_breaks_and_a_new_one_breaks_if_it_requires_a_key() -> None:
    empty = json.loads(json.dumps(partner_contract([], 1 << 20, FIRST_VERSION)))
    last = {**empty, "version": "8.1.0"}

    assert [change.breaks for change in contract_changes(document(), last)] == [True]
    assert [change.breaks for change in contract_changes(empty, document())] == [True]
    assert [change.breaks for change in contract_changes(empty, document(required=False))] == [False]


@pytest.mark.parametrize(
    "wrong", [{}, {"form": 2, "routes": []}, {"form": 1, "routes": [{}]}, {"form": 1, "routes": 7}]
)
def test_what_is_no_contract_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"contract|name"):
        list(contract_changes(wrong, document()))
