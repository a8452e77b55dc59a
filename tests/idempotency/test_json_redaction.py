"""Redaction: what is led to is gone wherever it stands, and every other byte is as it was."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.idempotency.json_redaction import REDACTED, redacted

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc*"), inner, max_size=3),
    max_leaves=12,
)
POINTERS = st.lists(st.lists(st.sampled_from(["a", "b", "0", "1", "*"]), min_size=1, max_size=3).map(tuple), max_size=3)


def plainly_redacted(value: object, pointers: list[tuple[str, ...]]) -> object:
    """The same by another way: on the parsed document."""
    if not isinstance(value, dict | list):
        return value
    items = value.items() if isinstance(value, dict) else enumerate(value)
    changed = {}
    for name, inner in items:
        rest = [pointer[1:] for pointer in pointers if pointer[0] in (str(name), "*")]
        changed[name] = REDACTED if () in rest else plainly_redacted(inner, rest)
    return changed if isinstance(value, dict) else list(changed.values())


@given(VALUES, POINTERS, st.sampled_from([None, 1]))
def test_it_is_what_redacting_the_parsed_document_comes_to(
    value: object, pointers: list[tuple[str, ...]], indent: int | None
) -> None:
    found = redacted(json.dumps(value, indent=indent).encode(), pointers)

    assert found is not None
    assert json.loads(found) == plainly_redacted(value, pointers)


def test_every_other_byte_stays() -> None:
    written = b' { "card" : {"number": "4242", "brand":"x"} ,\n "amount": 1.50, "ids":[ 1 , 2]}'

    assert redacted(written, [("card", "number"), ("ids", "*")]) == (
        b' { "card" : {"number": "[redacted]", "brand":"x"} ,\n "amount": 1.50, "ids":[ "[redacted]" , "[redacted]"]}'
    )


def test_a_name_that_stands_twice_is_redacted_twice() -> None:
    assert redacted(b'{"a":1,"\\u0061":2}', [("a",)]) == b'{"a":"[redacted]","\\u0061":"[redacted]"}'


@pytest.mark.parametrize("written", [b"", b"{", b"\xff", b'{"a":1}x', b"[" * 100_000, b"a=1"])
def test_what_is_no_json_is_told(written: bytes) -> None:
    assert redacted(written, [("a",)]) is None
