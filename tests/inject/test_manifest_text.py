"""A change of a text is made where it belongs, in the text's own style, and nowhere else."""

import pytest
import yaml

from sidecar.inject.manifest_text import NotRewritable, edited, line_of, read, text_of
from sidecar.inject.patch import AddItem, NoSuchPath, Operation, RemoveItem, RemoveKey, Replace, SetKey

BLOCK = """\
spec:
  # of the list
  items:
  - name: one   # the first
    v: 'x'
  # after it

  more: |
    text

# the end
"""


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (SetKey(("spec",), "k", True), BLOCK.replace("    text\n", "    text\n  k: true\n")),
        (
            SetKey(("spec",), "k", {"a": [{"b": "on"}], "c": {}}),
            BLOCK.replace("    text\n", '    text\n  k:\n    a:\n      - b: "on"\n    c: {}\n'),
        ),
        (AddItem(("spec", "items"), {"name": "two"}), BLOCK.replace("'x'\n", "'x'\n  - name: two\n")),
        (
            AddItem(("spec", "items"), {"name": "zero"}, first=True),
            BLOCK.replace("items:\n", "items:\n  - name: zero\n"),
        ),
        (Replace(("spec", "items", "one", "v"), "y"), BLOCK.replace("'x'", "'y'")),
        (Replace(("spec", "items", "one", "v"), "it's"), BLOCK.replace("'x'", '"it\'s"')),
        (Replace(("spec", "items", "one", "name"), "no"), BLOCK.replace("name: one", 'name: "no"')),
        (RemoveKey(("spec",), "more"), BLOCK.replace("  more: |\n    text\n", "")),
        (RemoveKey(("spec", "items", "one"), "v"), BLOCK.replace("    v: 'x'\n", "")),
    ],
)
def test_a_block_gets_lines_of_its_own_and_keeps_its_comments(operation: Operation, text: str) -> None:
    assert edited(BLOCK, [operation]) == text


@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        ("{a: {}}", SetKey(("a",), "k", 1), '{a: {"k": 1}}'),
        ("{a: { b: 1 }}", SetKey(("a",), "k", "x"), '{a: { b: 1, "k": "x" }}'),
        ("{a: [ ]}", AddItem(("a",), 1), "{a: [1 ]}"),
        ("{a: [ {name: x} ]}", AddItem(("a",), 1, first=True), "{a: [ 1, {name: x} ]}"),
        ("{a: [ {name: x} ]}", AddItem(("a",), 1), "{a: [ {name: x}, 1 ]}"),
        ("{a: [ {name: x}, 1 ]}", RemoveItem(("a",), "x"), "{a: [ 1 ]}"),
        ("{a: [1, {name: x}]}", RemoveItem(("a",), "x"), "{a: [1]}"),
        ("{a: 1, b: 2}", RemoveKey((), "a"), "{b: 2}"),
        ("{a: 1, b: 2}", RemoveKey((), "b"), "{a: 1}"),
        ('{"a": "http://x"}', Replace(("a",), "http://y"), '{"a": "http://y"}'),
        ("a:\n", Replace(("a",), [1]), "a: [1]\n"),
        ("a: ~\n", Replace(("a",), {"b": 1}), 'a: {"b": 1}\n'),
        ("a: [1]\n", Replace(("a",), None, ""), "a:\n"),
        ("a: {b: 1}\n", Replace(("a",), None, "~"), "a: ~\n"),
    ],
)
def test_a_flow_collection_and_a_null_are_written_in_their_place(before: str, operation: Operation, after: str) -> None:
    assert edited(before, [operation]) == after


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a: x\n", None),
        ("a: 'x'\n", None),
        ('a: "x"\n', None),
        ('a: "\\x78"\n', '"\\x78"'),
        ("a: |-\n  x\n", "|-\n  x"),
    ],
)
def test_how_a_scalar_is_written_is_told_only_where_it_could_not_be_guessed(text: str, kept: str | None) -> None:
    assert text_of(text, ("a",), "z") == kept
    assert edited(edited(text, [Replace(("a",), "z")]), [Replace(("a",), "x", kept)]) == text


def test_a_scalar_whose_style_does_not_bear_the_other_value_is_told() -> None:
    assert text_of("a: x\n", ("a",), "yes") == "x"
    assert text_of("a: 'x'\n", ("a",), "it's") == "'x'"


def test_lines_are_of_keys_and_of_the_nearest_thing_that_is_there() -> None:
    assert line_of(BLOCK, ("spec", "items", "one", "v")) == 5
    assert line_of(BLOCK, ("spec", "items", "none")) == 3
    assert line_of(BLOCK, ("other",)) == 1


def test_a_change_that_would_reach_further_is_refused() -> None:
    with pytest.raises(NotRewritable, match="without changing something else"):
        edited("a: &x [1]\nb: *x\n", [AddItem(("a",), 2)])
    with pytest.raises(NotRewritable, match="has an alias for b"):
        edited("a: &x [1]\nb: *x\n", [AddItem(("b",), 2)])


def test_a_path_that_is_not_there_is_told() -> None:
    for operation in (SetKey(("none",), "k", 1), RemoveKey(("spec",), "none"), RemoveItem(("spec", "items"), "none")):
        with pytest.raises(NoSuchPath):
            edited(BLOCK, [operation])


def test_text_that_some_readers_take_for_something_else_is_quoted() -> None:
    words = [
        "yes",
        "1e3",
        "0x10",
        "1_000",
        "12:30",
        "~",
        "",
        "a: b",
        "- x",
        "#c",
        "2026-01-01",
        "NaN",
        "ö",
        "'",
        '"',
        "a\nb",
    ]

    text = edited("a: {}\n", [SetKey((), "w", {f"k{index}": word for index, word in enumerate(words)})])

    assert list(read(text)["w"].values()) == words
    assert list(yaml.load(text, Loader=yaml.BaseLoader)["w"].values()) == words
    assert 'k1: "1e3"' in text
