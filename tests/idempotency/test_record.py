"""Records: what they look like in a store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.idempotency.journal import Journal
from sidecar.idempotency.record import (
    RELEASED_SECONDS,
    TOMBSTONE,
    DamagedRecord,
    KeyRecord,
    KeyState,
    decode_record,
    encode_record,
)


def test_a_record_reads_back_as_itself() -> None:
    record = KeyRecord(
        KeyState.COMPLETED,
        b"f" * 16,
        3,
        1.5,
        30.0,
        60.0,
        True,
        b"\x01x",
        "pay",
        b"s",
        201,
        b"\x00",
        Journal().with_entry(1, "x"),
    )

    assert decode_record(encode_record(record)) == record


def test_a_tombstone_takes_no_bytes() -> None:
    assert encode_record(TOMBSTONE) == b""
    assert decode_record(b"") == TOMBSTONE


@given(st.binary(min_size=1, max_size=60))
def test_other_bytes_are_a_damaged_record(written: bytes) -> None:
    try:
        record = decode_record(written)
    except DamagedRecord:
        return

    assert isinstance(record, KeyRecord)


def test_two_bytes_are_damaged() -> None:
    with pytest.raises(DamagedRecord):
        decode_record(b"\x92\x01")


def test_a_released_record_is_kept_for_its_journal_and_not_for_long() -> None:
    assert KeyRecord(KeyState.RELEASED, at=10.0, retention=1e6).ends_at == 10.0 + RELEASED_SECONDS
    assert KeyRecord(KeyState.RELEASED, at=10.0, retention=60.0).ends_at == 70.0


def test_versions_differ_by_fence_and_by_revision() -> None:
    versions = {
        KeyRecord(KeyState.IN_FLIGHT, fence, number).version for fence in (b"a" * 16, b"b" * 16) for number in (0, 1)
    }

    assert len(versions) == 4
