"""Which rule a refused head breaks: told by the byte that llhttp does not take, and by nothing that comes behind it."""

import pytest
from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserInvalidURLError
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire.malformed import Malformed
from sidecar.wire.violation import NOT_HTTP, foreign, request_violation, response_violation

LINE = b"GET / HTTP/1.1\r\nHost: a\r\n"
STATUS = b"HTTP/1.1 200 OK\r\n"
UNSAID = HttpParserError("")
FIELDS = {
    "no colon": (b"A\r", "bad_field"),
    "a control byte": (b"A: \x01", "bad_field"),
    "a CR that no LF follows": (b"A: b\rc", "bad_field"),
    "a bare LF": (b"A: b\n", "bad_field"),
    "a fold": (b"A: b\r\n ", "bad_field"),
    "no name": (b"A: b\r\n:", "bad_field"),
    "no name behind an empty value": (b"A:\r\n:", "bad_field"),
    "a bare LF behind a length": (b"Content-Length: 1\n", "bad_field"),
    "a control byte in a length": (b"Content-Length: \x01", "content_length"),
    "a control byte in a coding": (b"Transfer-Encoding: \x01", "bad_field"),
    "a CR in a length": (b"Content-Length: 1\r1", "bad_field"),
    "a length that is none": (b"Content-Length: 1x", "content_length"),
    "a length past 64 bits": (b"Content-Length: 18446744073709551616", "content_length"),
    "a second length": (b"Content-Length: 1\r\nContent-Length: 1", "content_length"),
    "an empty length, and the end": (b"Content-Length:\r\n\r", "content_length"),
    "an empty length, and no name": (b"Content-Length:\r\n:", "content_length"),
    "an empty length, and a field": (b"Content-Length: \r\nA", "content_length"),
    "a coding after a length": (b"Content-Length: 1\r\nTransfer-Encoding:", "transfer_encoding"),
    "a length after a coding": (b"Transfer-Encoding: chunked\r\nContent-Length:", "transfer_encoding"),
    "an empty coding": (b"Transfer-Encoding:\r\n\r", "transfer_encoding"),
    "a bare LF behind a coding": (b"Transfer-Encoding: chunked\n", "bad_field"),
    "a bad field before a bad length": (b"A B: c\r\nContent-Length: x", "bad_field"),
    "a bad length before a bad field": (b"Content-Length: x\r\nA B: c", "content_length"),
}
"""Fields that are refused in both directions, and the word for it."""


def words(refusal: Malformed) -> tuple[int, str]:
    return refusal.status, refusal.reason


@pytest.mark.parametrize(
    "tail", [b"", b"\r\n\r\n", b"\r\nContent-Length: x\r\nTransfer-Encoding: y\r\n\r\n", b" \x00\n"]
)
@pytest.mark.parametrize(("block", "reason"), FIELDS.values(), ids=FIELDS)
def test_the_field_that_is_refused_gives_the_word_whatever_the_parser_says_and_whatever_follows(
    block: bytes, reason: str, tail: bytes
) -> None:
    assert words(request_violation(UNSAID, LINE + block + tail)) == (400, reason)
    assert words(response_violation(UNSAID, STATUS + block + tail)) == (502, reason)


@given(st.sampled_from([block for block, _ in FIELDS.values()]), st.binary(max_size=20))
def test_no_bytes_behind_the_refused_one_change_the_word(block: bytes, tail: bytes) -> None:
    assert words(request_violation(UNSAID, LINE + block + tail)) == words(request_violation(UNSAID, LINE + block))
    assert words(response_violation(UNSAID, STATUS + block + tail)) == words(response_violation(UNSAID, STATUS + block))


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"GET / HTTP/2.0", 505, "unsupported_version"),
        (b"GET / HTTP/0.9", 505, "unsupported_version"),
        (b"GET / HTTP/11", 400, "bad_request_line"),
        (b"GET / RTSP/1.0", 400, "bad_request_line"),
        (b"GET /", 400, "bad_request_line"),
    ],
)
def test_a_request_line_is_judged_before_its_fields(line: bytes, status: int, reason: str) -> None:
    assert words(request_violation(UNSAID, line + b"\r\nContent-Length: x\r\n\r\n")) == (status, reason)


def test_a_status_line_is_judged_before_its_fields() -> None:
    assert response_violation(UNSAID, b"HTTP/1.1 20\r\nContent-Length: x\r\n\r\n").reason == "bad_status_line"
    assert response_violation(UNSAID, b"HTTP/1.1 200 OK\nContent-Length: x\r\n\r\n").reason == "bad_status_line"


def test_a_101_that_does_not_say_what_it_switches_to_has_a_bad_status() -> None:
    switching = b"HTTP/1.1 101 S\r\nConnection: upgraded\r\nUpgrade: websocket\r\n\r\n"

    assert response_violation(UNSAID, switching).reason == "bad_status_line"
    assert response_violation(UNSAID, b"HTTP/1.1 101 S\r\n\r\n").reason == "bad_status_line"


def test_only_a_coding_that_could_be_one_is_a_501() -> None:
    assert words(request_violation(UNSAID, LINE + b"Transfer-Encoding: gzip\r\n\r\n")) == (501, "transfer_encoding")
    assert words(request_violation(UNSAID, LINE + b'Transfer-Encoding: "gzip"\r\n\r\n')) == (400, "transfer_encoding")
    assert words(request_violation(UNSAID, LINE + b"Transfer-Encoding: chunked, gzip\r\n\r\n")) == (
        400,
        "transfer_encoding",
    )


def test_what_is_wrong_with_a_target_is_not_what_is_wrong_with_the_end_of_its_line() -> None:
    error = HttpParserInvalidURLError("")

    assert request_violation(error, b"GET /\x01 HTTP/1.1\r\n").reason == "bad_target"
    assert request_violation(error, b"\r\nGET /\t HTTP/1.1\r\n").reason == "bad_target"
    assert request_violation(error, b"GET /a\rb HTTP/1.1\r\n").reason == "bad_request_line"
    assert request_violation(error, b"GET /a\r\n\t").reason == "bad_request_line"


def test_a_method_that_is_none_is_no_unknown_method() -> None:
    error = HttpParserInvalidMethodError("")

    assert words(request_violation(error, b"FROB / HTTP/1.1\r\n")) == (501, "unknown_method")
    assert words(request_violation(error, b"\r\nFROB")) == (501, "unknown_method")
    assert words(request_violation(error, b"frob / HTTP/1.1\r\n")) == (400, "bad_request_line")
    assert words(request_violation(error, b"FR@B / HTTP/1.1\r\n")) == (400, "bad_request_line")


@pytest.mark.parametrize("method", sorted(NOT_HTTP))
def test_methods_of_other_protocols_are_refused_as_such_wherever_the_fault_is(method: bytes) -> None:
    expected = words(foreign(method))

    assert words(request_violation(UNSAID, b"\r\n%b * X/1.0\r\n\r\n" % method)) == expected
    assert words(request_violation(HttpParserInvalidURLError(""), b"%b a X/1.0\r\n\r\n" % method)) == expected


def test_what_the_parser_says_reaches_people_alone() -> None:
    refusal = response_violation(HttpParserError("Content-Length, says it"), STATUS + b"A B: c\r\n\r\n")

    assert (refusal.reason, refusal.detail) == ("bad_field", "llhttp: Content-Length, says it")
