"""Responses that must not be delivered: a 502 counted by reason, the connection closed and nothing of it seen."""

import json

import pytest

from tests.acceptance.conformance.rig import GET, OK, Rig

LINE = b"HTTP/1.1 200 OK\r\n"
CHUNKED = LINE + b"Transfer-Encoding: chunked\r\n"

REFUSED: dict[str, tuple[bytes, str]] = {
    "headless bytes": (b"hello, world\r\n\r\n", "bad_status_line"),
    "headless bytes without end": (b"hello, world", "bad_status_line"),
    "binary bytes": (b"\x00\x01\x02\x03" * 10, "bad_status_line"),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "HTTP/2": (b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "HTTP/0.9": (b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "version in lower case": (b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "another protocol": (b"ICY 200 OK\r\n\r\n", "bad_status_line"),
    "an HTTP/2 frame": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18, "bad_status_line"),
    "an empty line first": (b"\r\n" + OK, "bad_status_line"),
    "a LF first": (b"\n" + OK, "bad_status_line"),
    "a space first": (b" " + OK, "bad_status_line"),
    "garbage first": (b"x\r\n" + OK, "bad_status_line"),
    "status 20": (b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "status 2000": (b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "status 099": (b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "status 600": (b"HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "status 999": (b"HTTP/1.1 999 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "status -20": (b"HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "status 2x0": (b"HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "no status": (b"HTTP/1.1 \r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "no space before the status": (b"HTTP/1.1200 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "two spaces before the status": (b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "a tab before the reason": (b"HTTP/1.1 200\tOK\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "a NUL in the reason": (b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "a control byte in the reason": (b"HTTP/1.1 200 O\x01K\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "a CR in the reason": (b"HTTP/1.1 200 O\rX: y\r\nContent-Length: 2\r\n\r\nok", "bad_status_line"),
    "bare LFs throughout": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "bad_status_line"),
    "a space before the first field": (LINE + b" X: y\r\n\r\n", "bad_field"),
    "a NUL in a value": (LINE + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "a CR in a value": (LINE + b"X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "a LF in a value": (LINE + b"X: a\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "a control byte in a value": (LINE + b"X: a\x01b\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "a folded value": (LINE + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "a space before the colon": (LINE + b"X : a\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "a space in a name": (LINE + b"X Y: a\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "no name": (LINE + b": a\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "no colon": (LINE + b"X\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "a byte past ASCII in a name": (LINE + b"X\xe4: a\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "a NUL in a name": (LINE + b"X\x00: a\r\nContent-Length: 2\r\n\r\nok", "bad_field"),
    "a LF at the end of the head": (LINE + b"Content-Length: 2\r\n\nok", "bad_field"),
    "both framings": (CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "both framings the other way": (
        LINE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer_encoding",
    ),
    "both framings with length 0": (CHUNKED + b"Content-Length: 0\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "both framings in capitals": (
        LINE + b"CONTENT-LENGTH: 5\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n",
        "transfer_encoding",
    ),
    "two lengths": (LINE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!", "content_length"),
    "two lengths that agree": (LINE + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", "content_length"),
    "a list of lengths": (LINE + b"Content-Length: 2, 2\r\n\r\nok", "content_length"),
    "a length with a plus": (LINE + b"Content-Length: +2\r\n\r\nok", "content_length"),
    "a length with a minus": (LINE + b"Content-Length: -2\r\n\r\nok", "content_length"),
    "a length in hexadecimal": (LINE + b"Content-Length: 0x2\r\n\r\nok", "content_length"),
    "an empty length": (LINE + b"Content-Length:\r\n\r\nok", "content_length"),
    "a length that is a word": (LINE + b"Content-Length: two\r\n\r\nok", "content_length"),
    "a length of 2^63": (LINE + b"Content-Length: 9223372036854775808\r\n\r\n", "content_length"),
    "a length of 2^64": (LINE + b"Content-Length: 18446744073709551616\r\n\r\n", "content_length"),
    "gzip": (LINE + b"Transfer-Encoding: gzip\r\n\r\nok", "transfer_encoding"),
    "identity": (LINE + b"Transfer-Encoding: identity\r\n\r\nok", "transfer_encoding"),
    "gzip, chunked": (LINE + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "chunked, gzip": (LINE + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "chunked and a comma": (LINE + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "chunked twice": (CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "chunked with a prefix": (LINE + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "chunked after a vertical tab": (LINE + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "bad_field"),
    "chunked in quotes": (LINE + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', "transfer_encoding"),
    "an empty coding": (LINE + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "a coding with a space before the colon": (LINE + b"Transfer-Encoding : chunked\r\n\r\n", "bad_field"),
    "a coding in HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer_encoding"),
    "both framings of a 204": (
        b"HTTP/1.1 204 No\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "transfer_encoding",
    ),
    "a 101 that nobody asked for": (
        b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "bad_status_line",
    ),
    "a 103 with a folded value": (b"HTTP/1.1 103 E\r\nLink: a\r\n b\r\n\r\n" + OK, "bad_field"),
    "a head of 70 KB": (LINE + b"X: " + b"a" * 70_000 + b"\r\n\r\n", "head_too_large"),
    "a head without end": (LINE + b"X: " + b"a" * 70_000, "head_too_large"),
    "300 fields": (LINE + b"X: a\r\n" * 300 + b"\r\n", "too_many_fields"),
}
BAD_CHUNKS = {
    "no number": b"xyz\r\nhello\r\n0\r\n\r\n",
    "an empty size": b"\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a size with a minus": b"-5\r\nhello\r\n0\r\n\r\n",
    "a size before a space": b"5 \r\nhello\r\n0\r\n\r\n",
    "a size of 2^64 + 5": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a size that ends with LF": b"5\nhello\r\n0\r\n\r\n",
    "an extension with a CR": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "an extension with a LF": b"5;a\nhello\r\n0\r\n\r\n",
    "no CRLF after the bytes": b"5\r\nhello0\r\n\r\n",
    "more bytes than the size": b"5\r\nhello!\r\n0\r\n\r\n",
    "a folded trailer": b"0\r\nX: a\r\n b\r\n\r\n",
    "a trailer with a LF": b"0\r\nX: a\nSet-Cookie: b\r\n\r\n",
    "a last line that ends with LF": b"0\r\n\n",
}


@pytest.mark.parametrize("door", ["own", "absolute"])
@pytest.mark.parametrize(("answer", "reason"), REFUSED.values(), ids=REFUSED)
def test_it_is_a_502_of_our_own_and_its_connection_serves_nobody_else(
    wire: Rig, answer: bytes, reason: str, door: str
) -> None:
    before = wire.rejections()
    client = wire.client(door).send(GET if door == "own" else GET.replace(b" /", b" http://payments/"))
    server = wire.server()
    server.message()

    server.send(answer)

    delivered = client.message()
    problem = json.loads(delivered.body)
    assert (delivered.status, problem["reason"], problem["destination"]) == (502, "protocol", "payments")
    assert delivered.get("x-sidecar-attempts") == "1"
    assert server.ending()[0] == b""
    assert {name: count - before[name] for name, count in wire.rejections().items() if count != before[name]} == {
        reason: 1
    }
    client.send(GET)
    other = wire.server()
    other.message()
    other.send(OK)
    assert client.message().body == b"ok"


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_a_bad_chunk_never_looks_like_the_end_and_is_counted(wire: Rig, body: bytes) -> None:
    before = wire.rejections()
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(CHUNKED + b"\r\n3\r\nabc\r\n")
    client.until(b"abc\r\n")

    server.send(body + OK)

    rest, ending = client.ending()
    assert (ending, server.ending()[0]) == ("reset", b"")
    assert b"0\r\n" not in rest
    assert b"HTTP" not in rest
    assert {name: count - before[name] for name, count in wire.rejections().items() if count != before[name]} == {
        "bad_chunk": 1
    }


@pytest.mark.parametrize("body", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
def test_a_bad_chunk_beside_the_head_never_looks_like_the_end_to_an_old_client(wire: Rig, body: bytes) -> None:
    client = wire.client().send(b"GET /x HTTP/1.0\r\nHost: payments\r\n\r\n")
    server = wire.server()
    server.message()

    server.send(CHUNKED + b"\r\n" + body)

    _, ending = client.ending()
    assert ending == "reset"


def test_nonsense_behind_an_interim_answer_is_a_502_behind_it(wire: Rig) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(b"HTTP/1.1 100 Continue\r\n\r\nnonsense\r\n\r\n")

    assert [client.head().status, client.message().status] == [100, 502]
    assert server.ending()[0] == b""


@pytest.mark.parametrize("method", [b"HEAD", b"POST"])
def test_a_502_is_framed_for_the_method(wire: Rig, method: bytes) -> None:
    client = wire.client().send(method + b" /x HTTP/1.1\r\nHost: payments\r\n\r\n")
    server = wire.server()
    server.message()
    server.send(b"nonsense\r\n\r\n")

    delivered = client.message(to_head=method == b"HEAD")
    client.send(GET)
    other = wire.server()
    other.message()
    other.send(OK)

    assert delivered.status == 502
    assert client.message().body == b"ok"


def test_nonsense_is_not_asked_for_again(wire: Rig) -> None:
    client = wire.client("shop").send(GET)
    server = wire.server()
    server.message()
    server.send(b"nonsense\r\n\r\n")

    assert client.message().status == 502
    assert wire.uncalled()
