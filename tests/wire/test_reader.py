"""Bytes to heads: what passes, what is refused, and that it does not matter how the bytes were cut."""

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.wire.framing import Framing
from sidecar.wire.malformed import Malformed
from sidecar.wire.reader import RequestReader, ResponseReader

REQUESTS = [
    (b"GET / HTTP/1.1\r\n\r\n", 400, "host"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "host"),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    (b"GET /\r\n\r\n", 400, "bad_request_line"),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    (b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    (b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    (b"DESCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unknown_method"),
    (b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unknown_method"),
    (b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    (b"GET / HTTP/1.1\nHost: a\n\n", 400, None),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400, "bad_field"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400, "bad_field"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n", 400, "bad_field"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", 400, "bad_field"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400, "content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400, "content_length"),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "transfer_encoding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", None, "transfer_encoding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "transfer_encoding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", None, "transfer_encoding"),
    (b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
    (b"GET /" + b"a" * 70000, 414, "target_too_long"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70000, 431, "head_too_large"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431, "too_many_fields"),
]


@pytest.mark.parametrize(("data", "status", "reason"), REQUESTS)
def test_a_request_that_must_not_pass_is_refused_with_its_status_and_reason(
    data: bytes, status: int | None, reason: str | None
) -> None:
    with pytest.raises(Malformed) as caught:
        RequestReader().feed(data)

    assert status is None or caught.value.status == status
    assert reason is None or caught.value.reason == reason


@pytest.mark.parametrize(("data", "status", "reason"), [row for row in REQUESTS if len(row[0]) < 200])
def test_a_bad_request_is_refused_however_it_is_cut(data: bytes, status: int | None, reason: str | None) -> None:
    del status, reason
    for at in range(1, len(data)):
        reader = RequestReader()
        with pytest.raises(Malformed):
            if reader.feed(data[:at]) is None:
                reader.feed(data[at:])


RESPONSES = [
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.1 099 No\r\n\r\n",
    b"HTTP/1.1 000 No\r\n\r\n",
    b"HTTP/1.1 600 No\r\n\r\n",
    b"HTTP/1.1 200 a\x01b\r\n\r\n",
    b"RTSP/1.0 200 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000,
]


@pytest.mark.parametrize("data", RESPONSES)
def test_a_response_that_must_not_pass_is_a_502(data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        ResponseReader().feed(data, to_head=False)

    assert caught.value.status == 502


GOOD = b"POST /a?b HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nContent-Length: 3\r\nx-ONE: 2 \r\n\r\n"


def test_a_head_is_the_same_however_it_is_cut_and_what_follows_is_untouched() -> None:
    for at in range(1, len(GOOD)):
        reader = RequestReader()
        assert reader.feed(GOOD[:at]) is None
        assert reader.begun
        head = reader.feed(GOOD[at:] + b"abcNEXT")

        assert head is not None
        assert (head.method, head.target, head.host, head.length) == (b"POST", b"/a?b", b"a", 3)
        assert head.framing is Framing.LENGTH
        assert head.fields == GOOD[GOOD.index(b"Host") : -2]
        assert reader.rest == b"abcNEXT"


def test_empty_lines_before_a_request_are_no_request() -> None:
    reader = RequestReader()

    head = reader.feed(b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")

    assert head is not None
    assert reader.feed(b"\r\n") is None
    assert not reader.begun


def test_thousands_of_empty_lines_are_not_thousands_of_frames() -> None:
    with pytest.raises(Malformed):
        reader = RequestReader()
        for _ in range(20):
            reader.feed(b"\r\n" * 8000 + b"x")


def test_requests_follow_each_other_on_one_reader() -> None:
    reader = RequestReader()
    get = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"

    heads = [reader.feed(get % number) for number in range(5)]

    assert [head.target for head in heads if head is not None] == [b"/%d" % number for number in range(5)]


def test_fields_that_connection_names_are_left_out_but_never_host_or_length() -> None:
    head = RequestReader().feed(
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: x-a, Host, Content-Length\r\n"
        b"X-A: 1\r\nContent-Length: 1\r\nX-B: 2\r\n\r\n"
    )

    assert head is not None
    assert head.fields == b"Host: a\r\nContent-Length: 1\r\nX-B: 2\r\n"


def test_an_upgrade_counts_only_when_the_connection_names_it() -> None:
    named = RequestReader().feed(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n")
    unnamed = RequestReader().feed(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n")

    assert named is not None
    assert named.upgrade == b"websocket"
    assert unnamed is not None
    assert unnamed.upgrade == b""
    assert b"Upgrade" not in named.fields + unnamed.fields


def test_a_response_to_head_has_no_body_and_the_next_head_is_read_after_it() -> None:
    reader = ResponseReader()

    head = reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", to_head=True)
    following = reader.feed(b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", to_head=False)

    assert head is not None
    assert head.framing is Framing.NONE
    assert head.length == 5
    assert following is not None
    assert following.framing is Framing.NONE
    assert b"Content-Length" not in following.fields


TOKEN = st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True)
VALUE = st.from_regex(rb"[!-~]{1,3}( ?[!-~]{1,3}){0,3}", fullmatch=True)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from([b"GET", b"POST", b"PUT", b"get", b"FROB"]),
    st.sampled_from([b"/", b"/a b", b"*", b"/%zz", b"http://a/b", b"/\x01"]),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0"]),
    st.lists(st.tuples(TOKEN, VALUE), max_size=4),
    st.sampled_from([b"", b"Host: a\r\n", b"Host: a\r\nHost: b\r\n"]),
    st.sampled_from([b"", b"Content-Length: 3\r\n", b"Content-Length: x\r\n", b"Transfer-Encoding: chunked\r\n"]),
    st.data(),
)
def test_whatever_passes_here_h11_reads_the_same(
    method: bytes,
    target: bytes,
    version: bytes,
    fields: list[tuple[bytes, bytes]],
    host: bytes,
    framing: bytes,
    data: st.DataObject,
) -> None:
    raw = b"%b %b %b\r\n%b" % (method, target, version, host)
    raw += b"".join(b"%b: %b\r\n" % field for field in fields) + framing + b"\r\n"
    at = data.draw(st.integers(1, len(raw) - 1))
    reader = RequestReader()
    try:
        head = reader.feed(raw[:at]) or reader.feed(raw[at:])
    except Malformed:
        return  # stricter is allowed; laxer is not

    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(raw)
    event = oracle.next_event()
    assert head is not None
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (head.method, head.target)
    assert event.http_version == b"1.%d" % head.minor
