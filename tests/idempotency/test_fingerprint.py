"""Fingerprints: what makes two requests the same, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.governance.documents.json_pointer import JsonPointer
from sidecar.idempotency.fingerprint import FINGERPRINT_VERSION, RequestBody, fingerprint_of


def of(body: bytes, *ignored: str, content_type: bytes = b"application/json", target: bytes = b"/pay") -> bytes:
    return fingerprint_of(
        b"POST", target, RequestBody(body, content_type), [JsonPointer(each).tokens for each in ignored]
    )


def test_json_is_compared_by_what_it_says() -> None:
    assert of(b'{"a": 1, "b": [true, null]}') == of(b'{"b":[true,null],\n"a":1}')
    assert of(b'{"a": "\\u00e9"}') == of('{"a": "é"}'.encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": 1}', b'{"a": 2}'),
        (b'{"a": 1}', b'{"a": "1"}'),
        (b"[1,2]", b"[2,1]"),
        (b'{"a": 1}', b'{"a": 1, "b": null}'),
    ],
)
def test_other_json_is_another_request(one: bytes, other: bytes) -> None:
    assert of(one) != of(other)


def test_numbers_are_what_was_written() -> None:
    assert of(b'{"amount": 1.10}') != of(b'{"amount": 1.1}')
    assert of(b'{"amount": 10000000000000000.1}') != of(b'{"amount": 10000000000000000.2}')


def test_a_name_given_twice_is_compared_byte_for_byte() -> None:
    assert of(b'{"a": 1, "a": 2}') != of(b'{"a": 2}')


def test_ignored_fields_do_not_count() -> None:
    assert of(b'{"a": 1, "meta": {"trace": 1, "x": 2}}', "/meta/trace") == of(
        b'{"a": 1, "meta": {"trace": 9, "x": 2}}', "/meta/trace"
    )
    assert of(b'{"a": 1, "meta": {"x": 2}}', "/meta/trace") != of(b'{"a": 1, "meta": {"x": 3}}', "/meta/trace")


def test_bodies_that_are_no_json_are_compared_byte_for_byte() -> None:
    assert of(b"a=1&b=2", content_type=b"application/x-www-form-urlencoded") != of(
        b"b=2&a=1", content_type=b"application/x-www-form-urlencoded"
    )
    assert of(b"{nonsense") == of(b"{nonsense")
    assert of(b"{nonsense") != of(b"{nonsense ")


def test_a_media_type_that_ends_in_json_is_json() -> None:
    assert of(b'{"a": 1}', content_type=b"application/vnd.api+json; charset=utf-8") == of(b'{"a":1}')


def test_method_path_and_query_count() -> None:
    assert of(b"{}", target=b"/pay") != of(b"{}", target=b"/pay?x=1")
    assert of(b"{}", target=b"/pay?x=1") != of(b"{}", target=b"/pay/x=1")
    assert fingerprint_of(b"PATCH", b"/pay", RequestBody(b"{}", b""), []) != fingerprint_of(
        b"POST", b"/pay", RequestBody(b"{}", b""), []
    )


@given(st.binary(max_size=200))
def test_any_body_has_a_fingerprint_of_this_version(body: bytes) -> None:
    fingerprint = of(body)

    assert fingerprint[:1] == FINGERPRINT_VERSION
    assert len(fingerprint) == 33


def test_a_body_as_deep_as_it_is_long_has_a_fingerprint() -> None:
    assert of(b"[" * 100_000) != of(b"[" * 100_001)
    assert of(b"[" * 900 + b"]" * 900) == of(b"[" * 900 + b" " + b"]" * 900)
