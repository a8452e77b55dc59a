"""Kept answers: which fields are kept, and that they read back as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.idempotency.answer import (
    StoredAnswer,
    UnreadableAnswer,
    answer_of,
    decode_answer,
    encode_answer,
    kept_fields,
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
