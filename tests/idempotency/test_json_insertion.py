"""A key put into a body: only what is missing is added, and every other byte stays."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.idempotency.json_insertion import inserted
from sidecar.idempotency.pointer import value_at

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("document", "tokens", "expected"),
    [
        (b'{"a":1.0}', ("key",), b'{"key":"k","a":1.0}'),
        (b" { } ", ("key",), b' {"key":"k" } '),
        (b'{"a": {"b": [1, 2]}}', ("a", "key"), b'{"a": {"key":"k","b": [1, 2]}}'),
        (b'{"key" : null, "a": 1e2}', ("key",), b'{"key" : "k", "a": 1e2}'),
        (b'{"a\\u0062": {}}', ("ab", "key"), b'{"a\\u0062": {"key":"k"}}'),
        (b'{"n": 12345678901234567890.10}', ("key",), b'{"key":"k","n": 12345678901234567890.10}'),
    ],
)
def test_a_key_is_put_where_it_belongs(document: bytes, tokens: tuple[str, ...], expected: bytes) -> None:
    assert inserted(document, tokens, "k") == expected


@pytest.mark.parametrize(
    ("document", "tokens"),
    [
        (b"[]", ("key",)),
        (b'"text"', ("key",)),
        (b"{}", ("a", "key")),
        (b'{"a": []}', ("a", "key")),
        (b'{"key": "own"}', ("key",)),
        (b'{"key": 7}', ("key",)),
        (b'\xef\xbb\xbf{"a": 1}', ("key",)),
        ('{"a": 1}'.encode("utf-16"), ("key",)),
        (b"", ("key",)),
        (b'{"a"', ("key",)),
    ],
)
def test_there_is_not_always_a_place(document: bytes, tokens: tuple[str, ...]) -> None:
    assert inserted(document, tokens, "k") is None


@given(document=st.dictionaries(TEXTS, VALUES, max_size=5), name=TEXTS, indent=st.sampled_from([None, 0, 2]))
def test_whatever_the_document_is_only_the_key_is_new(
    document: dict[str, object], name: str, indent: int | None
) -> None:
    written = json.dumps(document, indent=indent, ensure_ascii=False).encode()

    changed = inserted(written, (name,), "k")

    if document.get(name) is not None:
        assert changed is None
    else:
        assert changed is not None
        assert value_at(json.loads(changed), (name,)) == "k"
        assert {k: v for k, v in json.loads(changed).items() if k != name} == {
            k: v for k, v in document.items() if k != name
        }
