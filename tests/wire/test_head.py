"""Heads before anything is known of them."""

from sidecar.wire.framing import Framing
from sidecar.wire.head import RequestHead, ResponseHead


def test_a_connection_is_kept_by_default_only_in_http_1_1() -> None:
    assert RequestHead(b"GET", b"/", 1).keep_alive
    assert not RequestHead(b"GET", b"/", 0).keep_alive
    assert ResponseHead(200, b"200 OK", 1).keep_alive
    assert not ResponseHead(200, b"200 OK", 0).keep_alive


def test_a_head_has_no_body_until_its_fields_say_so() -> None:
    assert RequestHead(b"GET", b"/", 1).framing is Framing.NONE
    assert RequestHead(b"GET", b"/", 1).length is None
