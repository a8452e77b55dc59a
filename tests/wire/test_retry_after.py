"""Retry-After in both its forms (RFC 9110 §10.2.3)."""

import pytest

from sidecar.wire.retry_after import parse_retry_after

WALL = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b" 120 ", 120.0),
        (b"9" * 30, float("inf")),
        (b"Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        (b"Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        (b"Sun Nov  6 08:49:47 1994", 10.0),
        (b"Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
    ],
)
def test_both_forms_become_seconds_from_now(value: bytes, seconds: float) -> None:
    assert parse_retry_after(value, b"", WALL) == seconds


@pytest.mark.parametrize("value", [b"", b"-1", b"+1", b"1.5", b"1e3", b"soon", b"\xff", b"0x10", b"Sun, 99 Nov 1994"])
def test_what_is_neither_form_is_ignored(value: bytes) -> None:
    assert parse_retry_after(value, b"", WALL) is None


def test_a_date_counts_from_the_servers_own_clock() -> None:
    wrong_clock = WALL + 5000

    assert parse_retry_after(b"Sun, 06 Nov 1994 08:49:47 GMT", b"Sun, 06 Nov 1994 08:49:37 GMT", wrong_clock) == 10.0
    assert parse_retry_after(b"Sun, 06 Nov 1994 08:49:47 GMT", b"nonsense", WALL) == 10.0
