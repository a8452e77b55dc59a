"""Keys of requests: read leniently, and one key however it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.idempotency.key import MalformedKey, digest_of_parts, field_values, parse_key, text_key


@pytest.mark.parametrize("written", [b"abc", b'"abc"', b" abc\t", b'  "abc"'])
def test_quoted_and_bare_are_one_key(written: bytes) -> None:
    assert parse_key([written]) == b"abc"


def test_a_quoted_key_may_escape_quotes_and_backslashes() -> None:
    assert parse_key([rb'"a\"b\\c"']) == rb'a"b\c'


def test_no_field_is_no_key() -> None:
    assert parse_key([]) is None


def test_the_same_key_given_twice_is_one() -> None:
    assert parse_key([b"abc", b'"abc"']) == b"abc"


def test_different_keys_in_one_request_are_refused() -> None:
    with pytest.raises(MalformedKey, match="twice"):
        parse_key([b"abc", b"abd"])


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b'""',
        b'"  "',
        b'"abc',
        b'abc"',
        b'"a\\b"',
        b"a\x00b",
        b"a\x7fb",
        "ä".encode(),
        b"x" * 256,
        b'"' + b"x" * 256 + b'"',
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(written: bytes) -> None:
    with pytest.raises(MalformedKey) as refused:
        parse_key([written])

    assert "xxx" not in str(refused.value)


def test_255_characters_are_a_key() -> None:
    assert parse_key([b"x" * 255]) == b"x" * 255


@given(st.binary(max_size=300))
def test_any_bytes_are_a_key_or_refused(written: bytes) -> None:
    try:
        key = parse_key([written])
    except MalformedKey:
        return

    assert key is not None
    assert 1 <= len(key) <= 255


@pytest.mark.parametrize(("value", "key"), [("evt_1", b"evt_1"), (17, b"17")])
def test_a_key_of_a_body_is_text_or_a_whole_number(value: object, key: bytes) -> None:
    assert text_key(value) == key


@pytest.mark.parametrize("value", [None, True, 1.5, "", "ä", ["a"], {"a": 1}, "x" * 256])
def test_other_values_of_a_body_are_no_key(value: object) -> None:
    with pytest.raises(MalformedKey):
        text_key(value)


def test_field_values_are_those_of_the_field_whatever_its_case() -> None:
    fields = b"Host: x\r\nIdempotency-Key: a\r\nidempotency-key:b\r\nx-idempotency-key: c\r\n"

    assert field_values(fields, b"idempotency-key") == [b"a", b"b"]


@given(st.lists(st.binary(max_size=4)), st.lists(st.binary(max_size=4)))
def test_different_parts_have_different_digests(one: list[bytes], other: list[bytes]) -> None:
    assert (digest_of_parts(*one) == digest_of_parts(*other)) == (one == other)
