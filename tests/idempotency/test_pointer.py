"""JSON pointers: the examples of RFC 6901 §5, and taking a value away."""

import pytest

from sidecar.governance.documents.json_pointer import JsonPointer
from sidecar.idempotency.pointer import ABSENT, value_at, without

DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "m~n": 8, " ": 7}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/m~0n", 8), ("/ ", 7)],
)
def test_a_pointer_leads_to_its_value(pointer: str, value: object) -> None:
    assert value_at(DOCUMENT, JsonPointer(pointer).tokens) == value


@pytest.mark.parametrize("pointer", ["/nothing", "/foo/2", "/foo/01", "/foo/-", "/foo/0/x"])
def test_a_pointer_may_lead_nowhere(pointer: str) -> None:
    assert value_at(DOCUMENT, JsonPointer(pointer).tokens) is ABSENT


def test_a_document_without_a_value_leaves_the_rest_and_itself_alone() -> None:
    document = {"a": {"b": 1, "c": 2}, "d": [1, {"e": 2}]}

    assert without(document, ("a", "b")) == {"a": {"c": 2}, "d": [1, {"e": 2}]}
    assert without(document, ("d", "1", "e")) == {"a": {"b": 1, "c": 2}, "d": [1, {}]}
    assert without(document, ("d", "0")) == {"a": {"b": 1, "c": 2}, "d": [None, {"e": 2}]}
    assert without(document, ("x", "y")) == document
    assert document == {"a": {"b": 1, "c": 2}, "d": [1, {"e": 2}]}
