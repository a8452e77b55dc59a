"""Changes of an object: as they are made to plain values, so is their JSON Patch."""

from typing import Any

import jsonpatch
import pytest

from sidecar.inject.patch import (
    AddItem,
    NoSuchPath,
    Operation,
    RemoveItem,
    RemoveKey,
    Replace,
    SetKey,
    applied,
    at,
    json_patch,
    pointer,
    prefixed,
)

OBJECT: dict[str, Any] = {
    "a/b~c": {"x": 1},
    "items": [{"name": "one", "env": []}, {"name": "two", "env": [{"name": "U", "value": "v"}]}],
}


@pytest.mark.parametrize(
    ("operation", "path", "value"),
    [
        (SetKey(("a/b~c",), "d/e", [1]), ("a/b~c", "d/e"), [1]),
        (SetKey((), "new", {"k": None}), ("new",), {"k": None}),
        (AddItem(("items",), {"name": "zero"}, first=True), ("items", 0), {"name": "zero"}),
        (AddItem(("items", "one", "env"), {"name": "E"}), ("items", "one", "env"), [{"name": "E"}]),
        (Replace(("items", "two", "env", "U", "value"), "w"), ("items", 1, "env", 0, "value"), "w"),
        (Replace(("items", 0), {"name": "other"}), ("items", 0), {"name": "other"}),
        (RemoveKey(("items", "one"), "env"), ("items", 0), {"name": "one"}),
        (RemoveItem(("items",), "one"), ("items", 0, "name"), "two"),
    ],
)
def test_a_change_is_the_same_on_plain_values_and_as_a_json_patch(
    operation: Operation, path: tuple[str | int, ...], value: object
) -> None:
    changed = applied(OBJECT, [operation])

    assert at(changed, path) == value
    assert jsonpatch.apply_patch(OBJECT, json_patch(OBJECT, [operation])) == changed


def test_later_changes_see_what_earlier_ones_made() -> None:
    operations: list[Operation] = [
        AddItem(("items",), {"name": "zero", "env": []}, first=True),
        AddItem(("items", "zero", "env"), {"name": "E"}),
        RemoveItem(("items",), "one"),
        Replace(("items", "two", "env", "U", "value"), "w"),
    ]

    patch = json_patch(OBJECT, operations)

    assert [each["path"] for each in patch] == ["/items/0", "/items/0/env/-", "/items/1", "/items/1/env/0/value"]
    assert jsonpatch.apply_patch(OBJECT, patch) == applied(OBJECT, operations)


def test_the_object_and_the_value_that_is_added_are_left_alone() -> None:
    value: dict[str, Any] = {"name": "three"}

    changed = applied(OBJECT, [AddItem(("items",), value), SetKey(("items", "three"), "k", 1)])

    assert len(OBJECT["items"]) == 2
    assert value == {"name": "three"}
    assert changed["items"][2] == {"name": "three", "k": 1}


@pytest.mark.parametrize(
    "operation",
    [
        SetKey(("none",), "k", 1),
        RemoveKey((), "none"),
        RemoveItem(("items",), "none"),
        AddItem(("items", 7, "env"), 1),
        Replace(("items", "none"), 1),
        Replace(("items", "one", "env", "none", "value"), 1),
    ],
)
def test_a_path_that_leads_nowhere_is_told(operation: Operation) -> None:
    with pytest.raises(NoSuchPath):
        applied(OBJECT, [operation])
    with pytest.raises(NoSuchPath):
        json_patch(OBJECT, [operation])


def test_a_pointer_escapes_what_rfc_6901_escapes() -> None:
    assert pointer(OBJECT, ("a/b~c", "d")) == "/a~1b~0c/d"


@pytest.mark.parametrize(
    "operation",
    [
        SetKey(("a",), "k", 1),
        RemoveKey(("a",), "k"),
        AddItem(("a",), 1, first=True),
        RemoveItem(("a",), "n"),
        Replace(("a",), 1, "t"),
    ],
)
def test_a_change_can_be_put_behind_a_path(operation: Operation) -> None:
    moved = prefixed(("spec", "template"), operation)

    assert moved.at == ("spec", "template", "a")
    assert type(moved) is type(operation)
    assert prefixed((), operation) == operation
