import pytest

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.migration import foreign_document
from sidecar.migration.foreign_document import ForeignValue, canonical, read_documents, search


def one(text: str) -> ForeignValue:
    (document,) = read_documents(text.encode(), "a.yaml")
    return document


def refusal(content: bytes) -> str:
    with pytest.raises(InvalidDocument) as caught:
        read_documents(content, "a.yaml")
    return str(caught.value)


@pytest.mark.parametrize("key", ["max_retries", "maxRetries", "max-retries", "MaxRetries"])
def test_a_key_is_one_however_it_is_spelt(key: str) -> None:
    assert canonical(key) == "maxretries"
    assert one(f"{key}: 1").get("max_retries") is not None


def test_several_documents_are_read_each_with_its_lines() -> None:
    first, second = read_documents(b"a: 1\n---\n\nb: 2\n", "a.yaml")

    assert first.get("a").line == 1  # type: ignore[union-attr]
    assert second.get("b").line == 4  # type: ignore[union-attr]


def test_anchors_merge_keys_and_tags_are_read_and_the_nearer_key_counts() -> None:
    document = one("base: &b {a: 1, b: 2}\nmore:\n  <<: *b\n  b: !!int 3\n")

    merged = document.get("more").entries()  # type: ignore[union-attr]

    assert {key: value.text for key, value in merged.items()} == {"a": "1", "b": "3"}


def test_json_indented_with_tabs_is_read() -> None:
    assert one('{\n\t"a": {\n\t\t"b": 1\n\t}\n}').at("a", "b").number == 1  # type: ignore[union-attr]


def test_a_placeholder_stands_for_its_default() -> None:
    value = one("a: ${TRIES:3}").get("a")

    assert value is not None
    assert (value.text, value.placeholder, value.number) == ("3", "TRIES", 3)


def test_what_is_not_yaml_is_refused_with_its_line() -> None:
    assert refusal(b"a: 1\nb: [1\n").startswith("a.yaml:3: is not YAML: ")


def test_what_is_not_utf_8_is_refused_with_its_line() -> None:
    assert refusal(b"a: 1\nb: \xff\n") == "a.yaml:2: must be UTF-8, got byte 0xff"


def test_what_is_too_deep_is_refused_before_it_is_composed() -> None:
    assert "nested deeper than 100" in refusal(b"[" * 100_000)


def test_what_is_too_long_is_refused() -> None:
    assert "must be at most 8MiB" in refusal(b" " * (foreign_document.SIZE_CEILING_BYTES + 1))


def test_aliases_that_multiply_cost_no_more_than_the_ceiling() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    document = one("\n".join(lines))

    def walk(value: ForeignValue) -> None:
        for item in value.items():
            walk(item)

    with pytest.raises(InvalidDocument, match="at most 1000000 values"):
        walk(document.get("a8"))  # type: ignore[arg-type]


def test_a_mapping_that_holds_itself_is_searched_once() -> None:
    document = one("a: &a\n  wanted: 1\n  again: *a\n")

    assert [value.line for value in search([document], frozenset({"wanted"}))] == [2]


def test_a_mapping_that_merges_itself_is_read_once() -> None:
    document = one("a: &a\n  <<: *a\n  b: 1\n")

    assert list(document.get("a").entries()) == ["b"]  # type: ignore[union-attr]
