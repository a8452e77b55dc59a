"""Retry-After in both its forms (RFC 9110 §10.2.3)."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        (b"Sunday, 06-Nov-94 08:49:00 GMT", 0.0),
        (b"Sun Nov  6 08:49:00 1994", 0.0),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (b"\tSun, 06 Nov 1994 08:50:37 GMT ", 60.0),
        (b"Sun, 06 Nov 1994 08:49:47 +0000", 10.0),
        (b"00010", 10.0),
    ],
)
def test_both_forms_become_seconds_from_now(value: bytes, seconds: float) -> None:
    assert parse_retry_after(value, b"", WALL) == seconds


@pytest.mark.parametrize(
    "value",
    [
        b"", b" ", b"-1", b"+1", b"1.5", b"1e3", b"soon", b"\xff", b"0x10", b"1_0", b"120, 60", b"120 s", b'"5"',
        "\N{ARABIC-INDIC DIGIT ONE}".encode(), b"Sun, 99 Nov 1994", b"Sun, 06 Nov 1994", b"Fri, 31 Feb 2020 0:0:0 GMT",
        b"Sun, 06 Nov 1994 25:00:00 GMT", b"Sun, 06 Nov 99999 08:49:37 GMT", b"2026-01-01T00:00:00Z",
        b"Sun, 06 Nov 1994 08:49:47 GMT" + b" " * 60 + b".",
    ],
)  # fmt: skip
def test_what_is_neither_form_is_ignored(value: bytes) -> None:
    assert parse_retry_after(value, b"", WALL) is None


def test_a_date_counts_from_the_servers_own_clock() -> None:
    wrong_clock = WALL + 5000

    assert parse_retry_after(b"Sun, 06 Nov 1994 08:49:47 GMT", b"Sun, 06 Nov 1994 08:49:37 GMT", wrong_clock) == 10.0
    assert parse_retry_after(b"Sun, 06 Nov 1994 08:49:47 GMT", b"nonsense", WALL) == 10.0


@pytest.mark.parametrize("date", [b"", b" ", b"\xff", b"784111777"])
def test_without_a_valid_date_the_wall_clock_counts(date: bytes) -> None:
    assert parse_retry_after(b"Sun, 06 Nov 1994 08:49:47 GMT", date, WALL + 3) == 7.0


def test_a_number_of_seconds_does_not_ask_any_clock() -> None:
    assert parse_retry_after(b"7", b"Sun, 06 Nov 1994 08:49:37 GMT", WALL + 5000) == 7.0


@pytest.fixture
def machine_in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("machine_in_tokyo")
@pytest.mark.parametrize("value", [b"Sun, 06 Nov 1994 08:49:47 GMT", b"Sun Nov  6 08:49:47 1994"])
def test_dates_are_in_gmt_wherever_the_machine_stands(value: bytes) -> None:
    assert parse_retry_after(value, b"", WALL) == 10.0


WORD = st.sampled_from(
    [b"Sun,", b"06", b"Nov", b"1994", b"08:49:37", b"GMT", b"-0000", b"+9999999", b"9" * 20, b":", b"-", b",", b"("]
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.binary(max_size=70), st.lists(WORD, max_size=7).map(b" ".join)), st.binary(max_size=40))
def test_no_value_raises_and_none_is_negative(value: bytes, date: bytes) -> None:
    seconds = parse_retry_after(value, date, WALL)

    assert seconds is None or seconds >= 0.0
