"""Where a request ends, and that what is passed on ends there too (RFC 9112 §6)."""

import pytest

from tests.acceptance.conformance.rig import DOORS, GET, OK, Rig

POST = b"POST /x HTTP/1.1\r\nHost: payments\r\n"

BODIES = {
    "none": (GET, b""),
    "length 0": (POST + b"Content-Length: 0\r\n\r\n", b""),
    "length 5": (POST + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "length with leading zeros": (POST + b"Content-Length: 005\r\n\r\nhello", b"hello"),
    "length after a tab": (POST + b"Content-Length:\t5\t \r\n\r\nhello", b"hello"),
    "chunked": (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
    "chunked in capitals": (POST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "chunked in blanks": (POST + b"Transfer-Encoding: \t chunked  \r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "chunks of one byte": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % c for c in b"hello") + b"0\r\n\r\n",
        b"hello",
    ),
    "an empty chunked body": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
    "extensions": (POST + b'Transfer-Encoding: chunked\r\n\r\n5;a=b;c="d;e" ;f\r\nhello\r\n0;g\r\n\r\n', b"hello"),
    "sizes with leading zeros": (POST + b"Transfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "sizes in both cases": (
        POST + b"Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"0123456789" * 2,
    ),
    "a GET with a body": (b"GET /x HTTP/1.1\r\nHost: payments\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "a DELETE with a body": (
        b"DELETE /x HTTP/1.1\r\nHost: payments\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"hello",
    ),
    "a body that looks like a request": (POST + b"Content-Length: %d\r\n\r\n" % len(GET) + GET, GET),
    "a HTTP/1.0 POST": (b"POST /x HTTP/1.0\r\nHost: payments\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
}


def name_of_framing(raw: bytes) -> str:
    head = raw.partition(b"\r\n\r\n")[0].lower()
    return "length" if b"content-length:" in head else "coding" if b"transfer-encoding:" in head else ""


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("raw", "content"), BODIES.values(), ids=BODIES)
def test_a_body_arrives_whole_and_framed_once(wire: Rig, raw: bytes, content: bytes, door: str) -> None:
    forwarded = wire.forwarded(raw, door)

    assert forwarded.content == content
    assert forwarded.line.endswith(" /x HTTP/1.1")
    assert forwarded.all("host") == ["payments"]
    assert len(forwarded.all("content-length")) + len(forwarded.all("transfer-encoding")) == (
        name_of_framing(raw) != ""
    )


@pytest.mark.parametrize("raw", [row[0] for row in BODIES.values()], ids=BODIES)
def test_the_byte_after_a_request_begins_the_next(wire: Rig, raw: bytes) -> None:
    again = raw.replace(b" /x ", b" /y ", 1)
    client = wire.client().send(raw + again)
    server = wire.server()
    first = server.message()
    server.send(OK)
    if b"HTTP/1.0" in raw:
        assert client.rest().endswith(b"ok")
        return
    second = server.message()
    server.send(OK)

    assert (first.line.split()[1], second.line.split()[1]) == ("/x", "/y")
    assert first.content == second.content
    assert client.message().status == client.message().status == 200


@pytest.mark.parametrize("raw", [BODIES[name][0] for name in ("length 5", "extensions", "none")])
def test_a_byte_at_a_time_is_as_good_as_all_at_once(wire: Rig, raw: bytes) -> None:
    client = wire.client()
    for at in range(len(raw)):
        client.send(raw[at : at + 1])
    server = wire.server()

    assert server.message().content == (b"hello" if b"hello" in raw else b"")
    server.send(OK)
    assert client.message().body == b"ok"
