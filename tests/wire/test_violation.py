"""Which rule a refused head breaks: the first one, whatever llhttp calls it and however much of the head has come."""

import pytest

from sidecar.wire.violation import NOT_HTTP, bad_method, bad_request, bad_response, bad_target, foreign

LINE = b"GET / HTTP/1.1\r\n"
STATUS = b"HTTP/1.1 200 OK\r\n"
FIELDS = {
    "no colon": (b"A\r\n\r\n", "bad_field"),
    "a control byte": (b"A: \x01", "bad_field"),
    "a CR that no LF follows": (b"A: b\rc", "bad_field"),
    "a length that is none": (b"Content-Length: 1x", "content_length"),
    "a length past 64 bits": (b"Content-Length: 18446744073709551616\r\n\r\n", "content_length"),
    "a length of more digits than a number is read of": (b"Content-Length: %b" % (b"9" * 5000), "content_length"),
    "a second length, cut off": (b"Content-Length: 1\r\nContent-Length:", "content_length"),
    "a coding after a length": (b"Content-Length: 1\r\nTransfer-Encoding:", "transfer_encoding"),
    "a length after a coding": (b"Transfer-Encoding: chunked\r\nContent-Length: 1", "transfer_encoding"),
    "no coding": (b"Transfer-Encoding:\r\n\r", "transfer_encoding"),
    "a bad field before a bad length": (b"A B: c\r\nContent-Length: x\r\n\r\n", "bad_field"),
    "a bad length before a bad field": (b"Content-Length: x\r\nA B: c\r\n\r\n", "content_length"),
    "something after the head": (b"A\rB: c\r\n\r\nContent-Length: x\r\n\r\n", "bad_field"),
}


@pytest.mark.parametrize(("block", "reason"), FIELDS.values(), ids=FIELDS)
def test_the_first_line_that_breaks_a_rule_is_the_reason_in_both_directions(block: bytes, reason: str) -> None:
    assert (bad_request(LINE + block).status, bad_request(LINE + block).reason) == (400, reason)
    assert bad_response(STATUS + block) == reason


def test_a_start_line_is_judged_before_the_fields() -> None:
    bad_fields = b"A\r\nContent-Length: x\r\n\r\n"

    assert bad_request(b"GET / HTTP/2.0\r\n" + bad_fields).status == 505
    assert bad_request(b"GET / RTSP/1.0\r\n" + bad_fields).reason == "bad_request_line"
    assert bad_response(b"HTTP/1.1 20\r\n" + bad_fields) == "bad_status_line"


def test_only_a_coding_that_could_be_one_is_a_501() -> None:
    assert bad_request(LINE + b"Transfer-Encoding: gzip\r\n\r\n").status == 501
    assert bad_request(LINE + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n").status == 400
    assert bad_request(LINE + b'Transfer-Encoding: "gzip"\r\n\r\n').status == 400


@pytest.mark.parametrize("method", sorted(NOT_HTTP))
def test_methods_of_other_protocols_are_refused_as_such_wherever_the_fault_is(method: bytes) -> None:
    expected = foreign(method)

    for refusal in (bad_request(b"\r\n%b * X/1.0\r\n\r\n" % method), bad_target(b"%b a X/1.0\r\n\r\n" % method)):
        assert (refusal.status, refusal.reason) == (expected.status, expected.reason)


def test_a_method_that_is_none_is_no_unknown_method() -> None:
    assert bad_method(b"FROB / HTTP/1.1\r\n").status == 501
    assert bad_method(b"\r\nFROB").status == 501
    assert bad_method(b"frob / HTTP/1.1\r\n").status == 400
    assert bad_target(b"GET /\x01 HTTP/1.1\r\n").reason == "bad_target"
    assert bad_target(b"GET /a\rb HTTP/1.1\r\n").reason == "bad_request_line"
