"""Bytes to heads: what passes, what is refused, and that it does not matter how the bytes were cut."""

import itertools
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.wire.framing import Framing
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.malformed import REASONS, Malformed
from sidecar.wire.reader import RequestReader, ResponseReader
from sidecar.wire.shapes import RequestShape, Shapes

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
OK = b"HTTP/1.1 200 OK\r\n"

Head = RequestHead | ResponseHead
Result = tuple[dict[str, object], bytes] | tuple[int, str] | None


def result_of(feed: Callable[[bytes], Head | None], rest: Callable[[], bytes], pieces: tuple[bytes, ...]) -> Result:
    """All that is known of the head and what followed it; status and reason of a refusal; None for half a head."""
    try:
        for number, piece in enumerate(pieces, 1):
            if (head := feed(piece)) is not None:
                known = {slot: getattr(head, slot) for slot in type(head).__slots__}
                return known, b"".join((rest(), *pieces[number:]))
    except Malformed as error:
        return error.status, error.reason
    return None


def request(*pieces: bytes) -> Result:
    reader = RequestReader()
    return result_of(reader.feed, lambda: reader.rest, pieces)


def response(*pieces: bytes, to_head: bool = False) -> Result:
    reader = ResponseReader()
    return result_of(lambda data: reader.feed(data, to_head=to_head), lambda: reader.rest, pieces)


def request_head(data: bytes) -> RequestHead:
    head = RequestReader().feed(data)
    assert head is not None
    return head


def response_head(data: bytes, *, to_head: bool = False) -> ResponseHead:
    head = ResponseReader().feed(data, to_head=to_head)
    assert head is not None
    return head


def cuts(data: bytes) -> list[tuple[bytes, ...]]:
    halves: list[tuple[bytes, ...]] = [(data[:at], data[at:]) for at in range(1, len(data))]
    return [*halves, tuple(data[at : at + 1] for at in range(len(data)))]


REFUSED_REQUESTS = {
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    "HTTP/0.9 by name": (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, "unsupported_version"),
    "HTTP/0.9 by form": (b"GET /\r\n\r\n", 400, "bad_request_line"),
    "HTTP/0.9 ended by a bare LF": (b"CONNECT a\n\r\n", 400, "bad_request_line"),
    "HTTP/0.9 ended by a bare LF, and another": (b"CONNECT a\n\r\n" + GET + b"\r\n", 400, "bad_request_line"),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"),
    "another protocol": (b"GET / RTSP/1.0\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    "a TLS handshake": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "bad_request_line"),
    "a space after the version": (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    "two spaces before the target": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    "a space before the method": (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    "a method in lower case": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    "an unknown method": (b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unknown_method"),
    "a method of RTSP": (b"DESCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unknown_method"),
    "a method of ICE": (b"SOURCE / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "unknown_method"),
    "ICE": (b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    "lines ended by a bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400, "bad_request_line"),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request_line"),
    "a fragment": (b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "a control byte in the target": (b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "a tab in the target": (b"GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "a DEL in the target": (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "a byte past ASCII in the target": (b"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "a target in no form": (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_target"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400, "host"),
    "no Host beside an absolute target": (b"GET http://a/ HTTP/1.1\r\n\r\n", 400, "host"),
    "two Hosts": (GET + b"hOST: b\r\n\r\n", 400, "host"),
    "two Hosts that agree": (GET + b"Host: a\r\n\r\n", 400, "host"),
    "two Hosts in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "host"),
    "a NUL in Host": (b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400, "bad_field"),
    "a NUL in a value": (GET + b"X: \x00\r\n\r\n", 400, "bad_field"),
    "a control byte in a value": (GET + b"X: \x01\r\n\r\n", 400, "bad_field"),
    "a bare CR in a value": (GET + b"X: a\rb\r\n\r\n", 400, "bad_field"),
    "a bare LF after a value": (GET + b"X: a\nY: b\r\n\r\n", 400, "bad_field"),
    "a folded value": (GET + b"X: a\r\n folded\r\n\r\n", 400, "bad_field"),
    "a space before the colon": (GET + b"X : a\r\n\r\n", 400, "bad_field"),
    "a space in a name": (GET + b"X Y: a\r\n\r\n", 400, "bad_field"),
    "no name": (GET + b": a\r\n\r\n", 400, "bad_field"),
    "no colon": (GET + b"X\r\n\r\n", 400, "bad_field"),
    "two lengths": (GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "content_length"),
    "two lengths that agree": (GET + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400, "content_length"),
    "a list of lengths": (GET + b"Content-Length: 1, 1\r\n\r\n", 400, "content_length"),
    "a negative length": (GET + b"Content-Length: -1\r\n\r\n", 400, "content_length"),
    "a signed length": (GET + b"Content-Length: +1\r\n\r\n", 400, "content_length"),
    "an empty length": (GET + b"Content-Length: \r\n\r\n", 400, "content_length"),
    "a length in hexadecimal": (GET + b"Content-Length: 0x1\r\n\r\n", 400, "content_length"),
    "a length past 64 bits": (GET + b"Content-Length: 99999999999999999999999\r\n\r\n", 400, "content_length"),
    "length, then coding": (
        GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "coding, then length": (
        GET + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "a coding in HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "transfer_encoding"),
    "gzip, chunked": (GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "transfer_encoding"),
    "gzip, chunked on two lines": (
        GET + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        501,
        "transfer_encoding",
    ),
    "gzip without chunked": (GET + b"Transfer-Encoding: gzip\r\n\r\n", 501, "transfer_encoding"),
    "chunked that is not last": (GET + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400, "transfer_encoding"),
    "chunked and a comma": (GET + b"Transfer-Encoding: chunked,\r\n\r\n", 400, "transfer_encoding"),
    "chunked twice": (
        GET + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "transfer_encoding",
    ),
    "chunked in disguise": (GET + b"Transfer-Encoding: xchunked\r\n\r\n", 501, "transfer_encoding"),
    "chunked in quotes": (GET + b'Transfer-Encoding: "chunked"\r\n\r\n', 400, "transfer_encoding"),
    "chunked after a vertical tab": (GET + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400, "bad_field"),
    "an empty coding": (GET + b"Transfer-Encoding:\r\n\r\n", 400, "transfer_encoding"),
    "a target past 16 KiB": (b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "target_too_long"),
    "a target that never ends": (b"GET /" + b"a" * 70000, 414, "target_too_long"),
    "a head past 64 KiB": (GET + b"X: " + b"a" * 65536 + b"\r\n\r\n", 431, "head_too_large"),
    "a head that never ends": (GET + b"X: " + b"a" * 70000, 431, "head_too_large"),
    "101 fields": (GET + b"A: b\r\n" * 100 + b"\r\n", 431, "too_many_fields"),
}
REFUSED_RESPONSES = {
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\n\r\n", "bad_status_line"),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\n\r\n", "bad_status_line"),
    "HTTP/0.9": (b"HTTP/0.9 200 OK\r\n\r\n", "bad_status_line"),
    "another protocol": (b"RTSP/1.0 200 OK\r\n\r\n", "bad_status_line"),
    "Shoutcast": (b"ICY 200 OK\r\n\r\n", "bad_status_line"),
    "no status line": (b"hello\r\n\r\n", "bad_status_line"),
    "an empty line first": (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "bad_status_line"),
    "two empty lines first": (b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "bad_status_line"),
    "status 000": (b"HTTP/1.1 000 No\r\n\r\n", "bad_status_line"),
    "status 099": (b"HTTP/1.1 099 No\r\n\r\n", "bad_status_line"),
    "status 600": (b"HTTP/1.1 600 No\r\n\r\n", "bad_status_line"),
    "two digits": (b"HTTP/1.1 20 OK\r\n\r\n", "bad_status_line"),
    "four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "bad_status_line"),
    "no digits": (b"HTTP/1.1 abc OK\r\n\r\n", "bad_status_line"),
    "a signed status": (b"HTTP/1.1 +20 OK\r\n\r\n", "bad_status_line"),
    "two spaces before the status": (b"HTTP/1.1  200 OK\r\n\r\n", "bad_status_line"),
    "no space after the status": (b"HTTP/1.1 200OK\r\n\r\n", "bad_status_line"),
    "a control byte in the reason": (b"HTTP/1.1 200 a\x01b\r\n\r\n", "bad_status_line"),
    "a NUL in the reason": (b"HTTP/1.1 200 a\x00b\r\n\r\n", "bad_status_line"),
    "lines ended by a bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bad_status_line"),
    "two lengths": (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "content_length"),
    "two lengths that agree": (OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "content_length"),
    "a list of lengths": (OK + b"Content-Length: 1, 1\r\n\r\n", "content_length"),
    "a signed length": (OK + b"Content-Length: +1\r\n\r\n", "content_length"),
    "an empty length": (OK + b"Content-Length: \r\n\r\n", "content_length"),
    "length, then coding": (OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding"),
    "coding, then length": (OK + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "transfer_encoding"),
    "a coding in HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding"),
    "gzip": (OK + b"Transfer-Encoding: gzip\r\n\r\n", "transfer_encoding"),
    "gzip, chunked": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "transfer_encoding"),
    "chunked and a comma": (OK + b"Transfer-Encoding: chunked,\r\n\r\n", "transfer_encoding"),
    "chunked in disguise": (OK + b"Transfer-Encoding: xchunked\r\n\r\n", "transfer_encoding"),
    "an empty coding": (OK + b"Transfer-Encoding:\r\n\r\n", "transfer_encoding"),
    "a bare CR in a value": (OK + b"X: a\rb\r\n\r\n", "bad_field"),
    "a bare LF after a value": (OK + b"X: a\nY: b\r\n\r\n", "bad_field"),
    "a NUL in a value": (OK + b"X: \x00\r\n\r\n", "bad_field"),
    "a folded value": (OK + b"X: a\r\n folded\r\n\r\n", "bad_field"),
    "a space in a name": (OK + b"X Y: a\r\n\r\n", "bad_field"),
    "a head past 64 KiB": (OK + b"X: " + b"a" * 65536 + b"\r\n\r\n", "head_too_large"),
    "a head that never ends": (OK + b"X: " + b"a" * 70000, "head_too_large"),
    "257 fields": (OK + b"A: b\r\n" * 257 + b"\r\n", "too_many_fields"),
}


@pytest.mark.parametrize(("data", "status", "reason"), REFUSED_REQUESTS.values(), ids=REFUSED_REQUESTS)
def test_a_request_that_must_not_pass_is_refused_with_its_status_and_reason(
    data: bytes, status: int, reason: str
) -> None:
    assert request(data) == (status, reason)
    assert reason in REASONS


@pytest.mark.parametrize("data", [row[0] for row in REFUSED_REQUESTS.values() if len(row[0]) < 200])
def test_a_bad_request_is_refused_alike_however_it_is_cut(data: bytes) -> None:
    whole = request(data)

    assert [pieces for pieces in cuts(data) if request(*pieces) != whole] == []


@pytest.mark.parametrize(("data", "reason"), REFUSED_RESPONSES.values(), ids=REFUSED_RESPONSES)
def test_a_response_that_must_not_pass_is_a_502_with_its_reason(data: bytes, reason: str) -> None:
    assert response(data) == (502, reason)
    assert reason in REASONS


@pytest.mark.parametrize("data", [row[0] for row in REFUSED_RESPONSES.values() if len(row[0]) < 200])
def test_a_bad_response_is_refused_alike_however_it_is_cut(data: bytes) -> None:
    whole = response(data)

    assert [pieces for pieces in cuts(data) if response(*pieces) != whole] == []


def test_the_parsers_leniencies_are_never_asked_for() -> None:
    code = "".join(file.read_text() for file in (Path(__file__).parents[2] / "sidecar").rglob("*.py"))

    assert "httptools" in code
    assert "leniencies" not in code


GOOD_REQUESTS = {
    "length": b"POST /a?b HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nContent-Length: 3\r\nx-ONE: 2\r\n\r\nabcGET /",
    "chunked": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:  Chunked \r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "pipelined": GET + b"\r\n" + GET + b"\r\n",
    "upgrade": GET + b"Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n\x81\x00\r\n\r\n",
    "upgrade not named": GET + b"Upgrade: websocket\r\n\r\nGET /",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03\x01",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n\r\nGET /",
    "empty lines first": b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /",
}
GOOD_RESPONSES = {
    "length": OK + b"Content-Length: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nabcHTTP/1.1",
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "to the close": OK + b"\r\nabc\r\n\r\ndef",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"\r\n",
    "switching": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n\x81\x00\r\n\r\n",
    "none": b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\nHTTP/1.1",
}


@pytest.mark.parametrize("data", GOOD_REQUESTS.values(), ids=GOOD_REQUESTS)
def test_a_request_is_the_same_however_it_is_cut_and_what_follows_is_untouched(data: bytes) -> None:
    whole = request(data)

    assert isinstance(whole, tuple)
    assert isinstance(whole[1], bytes)
    assert data.endswith(b"\r\n\r\n" + whole[1])
    assert [pieces for pieces in cuts(data) if request(*pieces) != whole] == []


@pytest.mark.parametrize("data", GOOD_RESPONSES.values(), ids=GOOD_RESPONSES)
def test_a_response_is_the_same_however_it_is_cut_and_what_follows_is_untouched(data: bytes) -> None:
    whole = response(data)

    assert isinstance(whole, tuple)
    assert isinstance(whole[1], bytes)
    assert data.endswith(b"\r\n\r\n" + whole[1])
    assert [pieces for pieces in cuts(data) if response(*pieces) != whole] == []


def test_a_head_keeps_order_case_and_duplicates_of_its_fields() -> None:
    data = GOOD_REQUESTS["length"]

    head = request_head(data)

    assert (head.method, head.target, head.host, head.length) == (b"POST", b"/a?b", b"a", 3)
    assert head.framing is Framing.LENGTH
    assert head.fields == data[data.index(b"Host") : data.index(b"\r\nabc")]


@pytest.mark.parametrize(
    "target", [b"/a/../b//c/%2e%zz", b"/a\\b\"<>^`{|}[]'", b"*", b"http://A:80/x?y", b"/?a=b&c;d", b"/" + b"a" * 16383]
)
def test_a_target_is_left_byte_for_byte(target: bytes) -> None:
    head = request_head(b"OPTIONS %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)

    assert head.target == target


def test_a_head_may_be_as_large_as_its_limits() -> None:
    filler = b"X: " + b"a" * (65536 - len(GET) - len(b"X: \r\n\r\n")) + b"\r\n\r\n"

    assert len(request_head(GET + filler).fields) == 65536 - len(b"GET / HTTP/1.1\r\n\r\n")
    assert request(GET + b"a" + filler) == (431, "head_too_large")
    assert request_head(GET + b"A: b\r\n" * 99 + b"\r\n").fields.count(b"\r\n") == 100
    assert response_head(OK + b"A: b\r\n" * 256 + b"\r\n").fields.count(b"\r\n") == 256


@pytest.mark.parametrize(("reader", "status"), [(RequestReader(), 431), (ResponseReader(), 502)])
def test_too_many_fields_are_refused_before_the_head_ends(reader: RequestReader | ResponseReader, status: int) -> None:
    if isinstance(reader, RequestReader):
        feed, line = reader.feed, GET
    else:
        feed, line = partial(reader.feed, to_head=False), OK
    feed(line)

    with pytest.raises(Malformed) as caught:
        for _ in range(300):
            feed(b"a:b\r\n")

    assert (caught.value.status, caught.value.reason) == (status, "too_many_fields")


def test_empty_lines_before_a_request_are_no_request() -> None:
    reader = RequestReader()

    heads = [reader.feed(b"\r\n"), reader.feed(b"\r\n\r\n"), reader.feed(b"\r")]

    assert heads == [None, None, None]
    assert not reader.begun
    assert reader.feed(b"\n" + GET + b"\r\n") is not None


def test_a_head_has_begun_with_its_first_byte_and_is_over_with_its_last() -> None:
    reader = RequestReader()
    begun = []
    for at in range(len(GET) + 2):
        begun.append(reader.begun)
        reader.feed((GET + b"\r\n")[at : at + 1])

    assert begun == [False] + [True] * (len(GET) + 1)
    assert not reader.begun


def test_thousands_of_empty_lines_are_not_thousands_of_frames() -> None:
    reader = RequestReader()

    with pytest.raises(Malformed):
        for _ in range(20):
            reader.feed(b"\r\n" * 8000 + b"x")


def test_pipelined_requests_are_read_one_by_one_whatever_they_are() -> None:
    reader = RequestReader()
    data = b"\r\n".join(
        [
            b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
            b"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            b"GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            b"CONNECT a:5 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /6 HTTP/1.0\r\n\r\n",
            b"GET /7 HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
    )

    targets = []
    while data:
        head = reader.feed(data)
        assert head is not None
        targets.append(head.target)
        data = reader.rest

    assert targets == [b"/0", b"/1", b"/2", b"/3", b"/4", b"a:5", b"/6", b"/7"]


def test_responses_follow_each_other_on_one_reader() -> None:
    reader = ResponseReader()
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 304 Same\r\nContent-Length: 9\r\n\r\n" + OK
    statuses = []
    while (head := reader.feed(data, to_head=False)) is not None:
        statuses.append((head.status, head.framing))
        data = reader.rest

    assert statuses == [(100, Framing.NONE), (103, Framing.NONE), (304, Framing.NONE)]
    assert reader.begun


def test_hop_by_hop_fields_stay_behind() -> None:
    head = request_head(
        GET + b"Keep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authenticate: x\r\nProxy-Authorization: x\r\n"
        b"TE: gzip\r\nTrailer: X\r\nUpgrade: x\r\nConnection: x-a\r\nX-A: 1\r\nx-b: 2\r\nX-Retry-Attempt: 3\r\n\r\n"
    )

    assert head.fields == b"Host: a\r\nx-b: 2\r\n"


def test_fields_that_connection_names_are_left_out_but_never_host_or_length() -> None:
    head = request_head(
        GET + b"Connection: x-a, Host, Content-Length\r\nX-A: 1\r\nContent-Length: 1\r\nx-a: 3\r\nX-B: 2\r\n\r\n"
    )

    assert head.fields == b"Host: a\r\nContent-Length: 1\r\nX-B: 2\r\n"
    assert head.framing is Framing.LENGTH


@pytest.mark.parametrize(
    ("line", "passed"),
    [
        (b"TE: trailers\r\n", True),
        (b"TE: Trailers \r\n", True),
        (b"TE: trailers, gzip\r\n", False),
        (b"TE: gzip\r\n", False),
        (b"TE: trailers\r\nTE: gzip\r\n", False),
    ],
)
def test_te_passes_only_when_trailers_is_all_it_says(line: bytes, *, passed: bool) -> None:
    head = request_head(GET + line + b"\r\n")

    assert (b"TE:" in head.fields) is passed


@pytest.mark.parametrize(
    ("version", "lines", "kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\nConnection: Close\r\n", False),
        (b"1.1", b"Connection: keep-alive, close\r\n", False),
        (b"1.1", b"Connection: close\r\nConnection: x\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
    ],
)
def test_a_connection_is_kept_as_version_and_connection_say(version: bytes, lines: bytes, *, kept: bool) -> None:
    asked = request_head(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, lines))
    answered = response_head(b"HTTP/%b 200 OK\r\nContent-Length: 0\r\n%b\r\n" % (version, lines))

    assert (asked.keep_alive, answered.keep_alive) == (kept, kept)


def test_an_upgrade_counts_only_when_the_connection_names_one() -> None:
    named = request_head(GET + b"Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n")
    unnamed = request_head(GET + b"Upgrade: websocket\r\n\r\n")
    several = request_head(GET + b"Connection: Upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n")

    assert (named.upgrade, unnamed.upgrade, several.upgrade) == (b"websocket", b"", b"")
    assert named.fields == unnamed.fields == several.fields == b"Host: a\r\n"


def test_only_an_http_1_1_request_can_expect_a_continue() -> None:
    asked = request_head(GET + b"Expect: 100-Continue\r\n\r\n")
    old = request_head(b"GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n")
    other = request_head(GET + b"Expect: miracles\r\n\r\n")

    assert (asked.expects_continue, old.expects_continue, other.expects_continue) == (True, False, False)
    assert b"Expect: 100-Continue\r\n" in asked.fields
    assert b"Expect" not in old.fields
    assert b"Expect: miracles\r\n" in other.fields


def test_what_retries_need_to_know_is_read_from_the_fields() -> None:
    asked = request_head(GET + b"Idempotency-Key: k\r\nX-Request-Id: r\r\nTraceparent: t\r\n\r\n")
    empty = request_head(GET + b"Idempotency-Key: \r\n\r\n")
    answered = response_head(OK + b"Retry-After: 5\r\nDate: d\r\nContent-Length: 0\r\n\r\n")

    assert (asked.keyed, asked.request_id, asked.trace) == (True, b"r", b"t")
    assert not empty.keyed
    assert (answered.retry_after, answered.date) == (b"5", b"d")
    assert answered.fields == b"Retry-After: 5\r\nDate: d\r\nContent-Length: 0\r\n"


@pytest.mark.parametrize("lines", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_to_head_has_no_body_whatever_it_says_and_what_follows_is_left(lines: bytes) -> None:
    reader = ResponseReader()

    head = reader.feed(OK + lines + b"\r\nHTTP/1.1", to_head=True)

    assert head is not None
    assert head.framing is Framing.NONE
    assert head.keep_alive
    assert reader.rest == b"HTTP/1.1"


@pytest.mark.parametrize("status", [b"100 Continue", b"103 Hints", b"204 None"])
def test_a_length_that_means_nothing_is_not_passed_on(status: bytes) -> None:
    head = response_head(b"HTTP/1.1 %b\r\nContent-Length: 5\r\nX: 1\r\n\r\n" % status)

    assert head.framing is Framing.NONE
    assert head.fields == b"X: 1\r\n"


def test_a_response_that_ends_with_its_connection_can_not_keep_it() -> None:
    head = response_head(OK + b"Connection: keep-alive\r\n\r\n")

    assert head.framing is Framing.CLOSE
    assert not head.keep_alive


def test_a_closed_reader_is_freed_without_the_collector() -> None:
    asked, answered = RequestReader(), ResponseReader()
    references = sys.getrefcount(asked), sys.getrefcount(answered)

    asked.close()
    answered.close()

    assert (sys.getrefcount(asked), sys.getrefcount(answered)) < references


LINE = st.one_of(
    st.tuples(
        st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True),
        st.sampled_from([b": ", b":", b":\t", b" : "]),
        st.from_regex(rb"[!-~\xff]{0,3}( ?[!-~]{1,3}){0,3}", fullmatch=True),
    ).map(b"".join),
    st.sampled_from(
        [b"Host: a", b"Content-Length: 3", b"Content-Length: x", b"Content-Length: 3, 3", b"Transfer-Encoding: gzip"]
    ),
    st.sampled_from(
        [b"Transfer-Encoding: chunked", b"Connection: close", b"X: a\x00", b" folded", b"X: a\rb", b"X: a\nY: b"]
    ),
)
LINES = st.lists(LINE, max_size=4).map(lambda lines: b"".join(line + b"\r\n" for line in lines))


def stricter_by_a_rule(raw: bytes) -> bool:
    """Whether one of wire.md's rules refuses what h11 lets pass."""
    line, _, rest = raw.partition(b"\r\n")
    method, target, version = [*line.split(b" "), b"", b""][:3]
    lines = rest.lower().split(b"\r\n")
    coded = any(line.startswith(b"transfer-encoding:") for line in lines)
    return (
        method not in {b"GET", b"POST"}  # known to llhttp, in upper case
        or target not in {b"/", b"/%zz", b"*", b"http://a/b"}
        or version not in {b"HTTP/1.0", b"HTTP/1.1"}
        or sum(line.startswith(b"content-length:") for line in lines) > 1
        or b"content-length: 3, 3" in lines
        or (coded and (version == b"HTTP/1.0" or any(line.startswith(b"content-length:") for line in lines)))
        or lines.count(b"transfer-encoding: chunked") > 1
        or b"x: a\ny: b" in lines  # a bare LF
        or b" folded" in lines
        or sum(line.startswith(b"host:") for line in lines) > 1
    )


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.sampled_from([b"GET", b"POST", b"GET", b"POST", b"get", b"FROB"]),
    st.sampled_from([b"/", b"*", b"/%zz", b"http://a/b", b"/a b", b"/\x01", b"/#f"]),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0"]),
    LINES,
    st.integers(1, 60),
)
def test_a_request_is_read_as_h11_reads_it_or_refused_by_a_rule_of_ours(
    method: bytes, target: bytes, version: bytes, lines: bytes, at: int
) -> None:
    raw = b"%b %b %b\r\nHost: a\r\n%b\r\n" % (method, target, version, lines)
    oracle = h11.Connection(h11.SERVER)
    try:
        oracle.receive_data(raw)
        event = oracle.next_event()
    except h11.RemoteProtocolError:
        event = None

    reader = RequestReader()
    try:
        head = reader.feed(raw[:at]) or reader.feed(raw[at:])
    except Malformed:
        assert event is None or stricter_by_a_rule(raw)
        return

    assert head is not None
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (head.method, head.target)
    assert event.http_version == b"1.%d" % head.minor
    following = oracle.next_event()
    assert isinstance(following, h11.EndOfMessage) is (head.framing is Framing.NONE)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"]),
    st.sampled_from([b"200 OK", b"204 None", b"304 Same", b"503 ", b"503", b"099 x", b"600 x", b"20 x", b"200 a\x01"]),
    LINES,
    st.booleans(),
    st.integers(1, 60),
)
def test_a_response_that_passes_ends_where_h11_says(
    version: bytes, status: bytes, lines: bytes, to_head: bool, at: int
) -> None:
    raw = b"%b %b\r\n%b\r\n" % (version, status, lines)
    reader = ResponseReader()
    try:
        head = reader.feed(raw[:at], to_head=to_head) or reader.feed(raw[at:], to_head=to_head)
    except Malformed:
        return  # stricter is allowed, by the rules of the table above; laxer is not

    oracle = h11.Connection(h11.CLIENT)
    oracle.send(h11.Request(method="HEAD" if to_head else "GET", target="/", headers=[("Host", "a")]))
    oracle.send(h11.EndOfMessage())
    oracle.receive_data(raw)
    event = oracle.next_event()
    assert head is not None
    assert isinstance(event, h11.Response)
    assert event.status_code == head.status
    following = oracle.next_event()
    assert isinstance(following, h11.EndOfMessage) is (head.framing is Framing.NONE)


@pytest.mark.parametrize(
    "fields",
    [
        b"Idempotency-Key: 1\r\nIdempotency-Key: 2\r\n",
        b"Idempotency-Key: 1\r\nX: y\r\nidempotency-key: 1\r\n",
        b"Idempotency-Key:\r\nIdempotency-Key: 2\r\n",
        b"Idempotency-Key: 1\r\nIdempotency-Key: 2\r\nIdempotency-Key: 3\r\n",
    ],
)
def test_a_request_with_two_idempotency_keys_has_none(fields: bytes) -> None:
    raw = b"POST / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n"
    shapes: Shapes[RequestShape, RequestHead] = Shapes(RequestShape, itertools.count().__next__)

    heads = [RequestReader(shapes=shapes).feed(raw) for _ in range(4)]

    assert [head is not None and head.keyed for head in heads] == [False] * 4
