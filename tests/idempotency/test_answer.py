"""Kept answers: which fields are kept, and that they read back as they were."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.governance.policy.contract import Redaction
from sidecar.idempotency.answer import (
    StoredAnswer,
    UnreadableAnswer,
    answer_of,
    decode_answer,
    encode_answer,
    kept_fields,
    redacted_answer,
)

KEY = b"k" * 32


def test_fields_of_the_answer_are_kept_and_those_of_a_connection_or_a_caller_are_not() -> None:
    fields = b"Content-Type: text/plain\r\nSet-Cookie: a=b\r\nLOCATION: /x\r\nX-Debug: 1\r\nContent-Length: 3\r\n"

    assert kept_fields(fields) == b"Content-Type: text/plain\r\nLOCATION: /x\r\n"


@given(st.binary(max_size=300))
def test_an_answer_reads_back_as_itself(body: bytes) -> None:
    answer = answer_of(201, b"201 Created", b"ETag: x\r\n", body)

    assert decode_answer(encode_answer(answer, KEY, None), KEY, None) == answer


def test_an_erased_answer_is_none() -> None:
    assert decode_answer(b"", KEY, None) is None


@given(st.binary(min_size=1, max_size=60))
def test_other_bytes_are_no_answer(written: bytes) -> None:
    try:
        answer = decode_answer(written, KEY, None)
    except UnreadableAnswer:
        return

    assert isinstance(answer, StoredAnswer)


def test_damaged_bytes_are_unreadable() -> None:
    with pytest.raises(UnreadableAnswer):
        decode_answer(b"\x92\x01", KEY, None)


JSON = b"Content-Type: application/json; charset=utf-8\r\n"
CARD = Redaction(pointers=(("card", "number"),))


def test_redacted_fields_of_a_body_are_gone_and_the_digest_is_of_what_is_left() -> None:
    answer = answer_of(201, b"201 Created", JSON, b'{"card": {"number": "4242"}, "id": 7}')

    kept = redacted_answer(answer, CARD)

    assert kept.body == b'{"card": {"number": "[redacted]"}, "id": 7}'
    assert (kept.length, kept.digest) == (len(kept.body), sha256(kept.body).digest())


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Content-Type: text/plain\r\n", b"card 4242"),
        (JSON, b"card 4242"),
        (JSON + b"Content-Encoding: gzip\r\n", b"{}"),
        (b"", b'{"card": {"number": "4242"}}'),
    ],
)
def test_a_body_whose_fields_can_not_be_found_is_not_kept_and_no_digest_of_it(fields: bytes, body: bytes) -> None:
    kept = redacted_answer(answer_of(200, b"200 OK", fields, body), CARD)

    assert (kept.body, kept.length, kept.digest) == (None, len(body), b"")


def test_of_a_body_too_large_to_keep_no_digest_is_kept() -> None:
    kept = redacted_answer(StoredAnswer(200, b"200 OK", JSON, None, 1 << 20, b"d" * 32), CARD)

    assert (kept.body, kept.length, kept.digest) == (None, 1 << 20, b"")


def test_an_answer_without_a_body_and_one_of_a_route_that_redacts_nothing_are_kept_as_they_are() -> None:
    empty, full = answer_of(204, b"204 No Content", b"", b""), answer_of(200, b"200 OK", b"", b"text")

    assert redacted_answer(empty, CARD) == empty
    assert redacted_answer(full, Redaction()) == full


def test_a_redacted_header_is_not_kept() -> None:
    answer = answer_of(201, b"201 Created", JSON + b"Location: /cards/4242\r\n", b"{}")

    assert redacted_answer(answer, Redaction(headers=frozenset({b"location"}))).fields == JSON
