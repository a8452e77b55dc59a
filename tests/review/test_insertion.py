import json

import pytest
import yaml
from hypothesis import given, settings, strategies

from sidecar.review.insertion import Insertions, NotEditable
from sidecar.review.source import DescriptionFile


def insertions(text: str, name: str = "api.yaml") -> tuple[Insertions, dict[str, object]]:
    file = DescriptionFile(name, text.encode())
    assert isinstance(file.value, dict)
    return Insertions(file), file.value


def test_a_key_goes_behind_the_one_it_is_asked_behind_and_comments_stay() -> None:
    edits, root = insertions("# top\na: 1   # one\n# before b\nb:\n  - 2\n\n# end\n")

    edits.add_key(root, "new", {"x": "24h"}, after="a")
    edits.add_key(root, "last", value=True)

    assert edits.text() == "# top\na: 1   # one\nnew: {x: 24h}\n# before b\nb:\n  - 2\nlast: true\n\n# end\n"


def test_a_block_scalar_ends_where_its_text_does() -> None:
    edits, root = insertions("a: |\n  text\n  more\n\nb: 1\n")

    edits.add_key(root, "new", "x", after="a")

    assert DescriptionFile("a.yaml", edits.text().encode()).value == {"a": "text\nmore\n", "new": "x", "b": 1}


def test_an_item_goes_to_the_end_of_its_list_with_its_indentation() -> None:
    edits, root = insertions("a:\n- {b: 1}\n- b: 2\n  c: 3\nd: 1\n")

    edits.add_item(root["a"], {"b": 3, "c": {"d": {"e": "f"}}})

    assert edits.text() == "a:\n- {b: 1}\n- b: 2\n  c: 3\n- b: 3\n  c:\n    d: {e: f}\nd: 1\n"


def test_flow_style_stays_on_its_line() -> None:
    edits, root = insertions("a: {b: [1, 2], c: {}}   # said\n")
    inner = root["a"]
    assert isinstance(inner, dict)

    edits.add_key(inner, "d", "e")
    edits.add_key(inner["c"], "x", value=True)

    assert edits.text() == "a: {b: [1, 2], c: {x: true}, d: e}   # said\n"


def test_json_stays_json_with_a_line_for_each_key_where_it_had_one() -> None:
    edits, root = insertions('{\n  "a": [\n    {"b": 1}\n  ],\n  "c": {}\n}\n', "api.json")

    edits.add_item(root["a"], {"b": 2})
    edits.add_key(root, "d", {"e": True})
    edits.add_key(root["c"], "f", "g")

    text = edits.text()
    assert json.loads(text) == {"a": [{"b": 1}, {"b": 2}], "c": {"f": "g"}, "d": {"e": True}}
    assert '    {"b": 1},\n    {"b": 2}\n' in text


def test_the_ends_of_lines_stay_what_they_are() -> None:
    edits, root = insertions("a: 1\r\nb: 2\r\n")

    edits.add_key(root, "c", 3, after="a")

    assert edits.text() == "a: 1\r\nc: 3\r\nb: 2\r\n"


def test_a_file_without_a_last_line_end_is_added_to() -> None:
    edits, root = insertions("a: 1")

    edits.add_key(root, "b", 2)

    assert edits.text() == "a: 1\nb: 2"


def test_keys_are_quoted_as_the_others_are() -> None:
    edits, root = insertions("'200': a\n'500': b\n")

    edits.add_key(root, "409", "c", after="200")

    assert edits.text() == "'200': a\n'409': c\n'500': b\n"


def test_what_is_merged_from_elsewhere_is_not_edited() -> None:
    edits, root = insertions("base: &b {a: {c: 1}}\nmore:\n  <<: *b\n  x: {y: 1}\n")

    with pytest.raises(NotEditable):
        edits.add_key({"not": "there"}, "z", 1)
    edits.replace(root["base"]["a"], "c", 2)  # type: ignore[index]

    assert "a: {c: 2}" in edits.text()


texts = strategies.text("ab:#-'\"{[,&*!|>% \n", max_size=6)
values = strategies.recursive(
    strategies.one_of(strategies.none(), strategies.booleans(), strategies.integers(), texts),
    lambda inner: strategies.one_of(
        strategies.lists(inner, max_size=3), strategies.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(strategies.dictionaries(texts, values, min_size=1, max_size=4), strategies.booleans())
def test_an_added_key_changes_nothing_else(value: dict[str, object], flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, sort_keys=False)
    edits, root = insertions(text)

    edits.add_key(root, "new", "24h")

    assert DescriptionFile("a.yaml", edits.text().encode()).value == {**value, "new": "24h"}
