import json

import pytest
import yaml
from hypothesis import given, settings, strategies
from hypothesis.strategies import SearchStrategy

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.review.source import DEPTH_CEILING, DescriptionFile


def read(text: str, name: str = "api.yaml") -> DescriptionFile:
    return DescriptionFile(name, text.encode())


def refusal(text: str | bytes, name: str = "api.yaml") -> str:
    with pytest.raises(InvalidDocument) as caught:
        DescriptionFile(name, text.encode() if isinstance(text, str) else text)
    return str(caught.value)


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = "[yes, no, on, 2026-11-24, 0o7, 12, -1.5, 1e3, true, null, ~, '1', 1:30, 0x1F]"

    assert read(text, "api.yml").value == [
        "yes", "no", "on", "2026-11-24", "0o7", 12, -1.5, 1000.0, True, None, None, "1", "1:30", "0x1F",
    ]  # fmt: skip


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read("200: a\ntrue: b\nnull: c\n").value == {"200": "a", "true": "b", "null": "c"}


def test_every_part_of_a_yaml_file_has_its_line() -> None:
    file = read("a:\n  b:\n    - 1\n    - {c: 2}\n")
    value = file.value
    assert isinstance(value, dict)

    assert file.line(value, "a") == 1
    assert file.line(value["a"], "b") == 2
    assert [file.line(value["a"]["b"], index) for index in (0, 1)] == [3, 4]
    assert file.line(value["a"]["b"][1], "c") == 4
    assert file.line(value, "nothing") == 1


def test_every_part_of_a_json_file_has_its_line() -> None:
    text = '{\n "a": {\n  "b\\n": [\n   1, "}{",\n   {"c" : 2}\n  ]\n }, "d": []\n}'
    file = read(text, "api.json")
    value = file.value
    assert isinstance(value, dict)

    assert file.line(value, "a") == 2
    assert file.line(value["a"], "b\n") == 3
    assert [file.line(value["a"]["b\n"], index) for index in (0, 1, 2)] == [4, 4, 5]
    assert file.line(value["a"]["b\n"][2], "c") == 5
    assert file.line(value, "d") == 7


def values(text: SearchStrategy[str]) -> SearchStrategy[dict[str, object]]:
    leaves = strategies.one_of(strategies.none(), strategies.booleans(), strategies.integers(), text)
    plain = strategies.recursive(
        leaves,
        lambda inner: strategies.one_of(
            strategies.lists(inner, max_size=4), strategies.dictionaries(text, inner, max_size=4)
        ),
        max_leaves=25,
    )
    return strategies.dictionaries(text, plain, max_size=5)


@settings(max_examples=200)
@given(values(strategies.text(max_size=6)), strategies.sampled_from([None, 0, 2]))
def test_the_line_of_a_json_key_is_where_it_is_written(value: dict[str, object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    file = read(text, "api.json")
    lines = text.split("\n")

    def check(part: object) -> None:
        if isinstance(part, dict):
            for key, inner in part.items():
                assert json.dumps(key) in lines[file.line(part, key) - 1]
                check(inner)
        elif isinstance(part, list):
            for inner in part:
                check(inner)

    assert file.value == value
    check(file.value)


@settings(max_examples=200)
@given(values(strategies.text("ab:#-'\"{[,&*!|>% \n", max_size=8)))
def test_yaml_is_read_as_it_was_written(value: dict[str, object]) -> None:
    text = yaml.safe_dump({"value": value}, default_flow_style=False, allow_unicode=True)

    assert read(text).value == {"value": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "api.yaml:3: a: must not be given twice; line 1 has it already"),
        ("a: [\n", "api.yaml:2: is not YAML"),
        ("", "api.yaml:1: must not be empty"),
        ("a: 1\n---\nb: 2\n", "must hold one document, not several"),
        ("? [1]\n: 2\n", "api.yaml:1: must have text for its keys"),
        ("a: *b\n", "must be an alias of an anchor before it, got *b"),
        ("a: &a [*a]\n", "must not be an alias of what it stands in, got *a"),
        ("a:\n  <<: 1\n", "api.yaml:2: must merge mappings only, got 1"),
        ("a: \x01\n", "must hold printable characters only"),
        (b"a: \xff\n", "api.yaml:1: must be UTF-8, got byte 0xff"),
        ("[" * (DEPTH_CEILING + 2), "must not be nested deeper than"),
    ],
)
def test_yaml_that_two_readers_could_read_differently_is_refused(text: str | bytes, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,\n "b": {"c": 1, "c": 2}}', "api.json:2: c: must not be given twice"),
        ('{"a": 1,\n}', "api.json:2: is not JSON"),
        ("[" * 100_000, "must not be nested deeper"),
        ('{"a": ' + "9" * 5000 + "}", "is not JSON"),
    ],
)
def test_json_that_is_none_or_says_things_twice_is_refused(text: str, said: str) -> None:
    assert said in refusal(text, "api.json")


def test_an_alias_is_the_value_it_names_and_merged_keys_keep_their_place() -> None:
    file = read("base: &base\n  a: 1\n  b: 2\nmore:\n  <<: *base\n  b: 3\nsame: *base\n")
    value = file.value
    assert isinstance(value, dict)

    assert value["more"] == {"b": 3, "a": 1}
    assert file.line(value["more"], "a") == 2
    assert value["same"] is value["base"]


def test_aliases_of_aliases_cost_no_more_than_their_text() -> None:
    lines = ["a0: &a0 [1, 2]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]

    file = read("\n".join(lines))

    assert isinstance(file.value, dict)
    assert len(file.value["a59"]) == 9


def test_a_file_too_large_is_not_read() -> None:
    assert "must be at most 64MiB" in refusal(b" " * ((64 << 20) + 1))
