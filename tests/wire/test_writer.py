"""Heads to bytes."""

from sidecar.wire.framing import Framing
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.writer import replace_host, request_head, response_head


def test_a_request_is_framed_anew_and_otherwise_as_it_came() -> None:
    head = RequestHead(b"PUT", b"/x", 0)
    head.fields = b"Host: a\r\nB: 1\r\nb: 2\r\n"
    head.framing = Framing.CHUNKED

    assert request_head(head) == b"PUT /x HTTP/1.1\r\nHost: a\r\nB: 1\r\nb: 2\r\nTransfer-Encoding: chunked\r\n"


def test_an_upgrade_is_asked_for_again() -> None:
    head = RequestHead(b"GET", b"/", 1)
    head.upgrade = b"websocket"

    assert request_head(head).endswith(b"Connection: upgrade\r\nUpgrade: websocket\r\n")


def test_a_response_keeps_its_reason_and_fields() -> None:
    head = ResponseHead(418, b"418 Teapot", 1)
    head.fields = b"Set-Cookie: a\r\nSet-Cookie: b\r\n"

    assert response_head(head) == b"HTTP/1.1 418 Teapot\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"


def test_the_one_host_line_is_replaced_wherever_and_however_it_is_written() -> None:
    assert replace_host(b"Host: a\r\nX: 1\r\n", b"a", b"b") == b"Host: b\r\nX: 1\r\n"
    assert replace_host(b"X: host:\r\nhOsT:  a\r\nY: 1\r\n", b"a", b"b") == b"X: host:\r\nHost: b\r\nY: 1\r\n"
    assert replace_host(b"X: 1\r\n", b"", b"b") == b"Host: b\r\nX: 1\r\n"


def test_a_host_is_found_only_at_the_start_of_a_line() -> None:
    assert replace_host(b"X-Host: a\r\nHost: a\r\n", b"a", b"b") == b"X-Host: a\r\nHost: b\r\n"
    assert replace_host(b"X-Host: a\r\n", b"", b"b") == b"Host: b\r\nX-Host: a\r\n"


def test_a_body_of_known_length_is_not_framed_anew() -> None:
    asked = RequestHead(b"POST", b"/", 1)
    asked.fields = b"Host: a\r\nContent-Length: 3\r\n"
    asked.framing = Framing.LENGTH
    answered = ResponseHead(200, b"200 OK", 0)
    answered.fields = b"Content-Length: 3\r\n"

    assert request_head(asked) == b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
    assert response_head(answered) == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
