"""Where a response ends, and that what is delivered ends there too (RFC 9112 §6)."""

import pytest

from tests.acceptance.conformance.rig import DOORS, GET, OK, Rig, close_delimited

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD = b"HEAD /x HTTP/1.1\r\nHost: payments\r\n\r\n"
OLD = b"GET /x HTTP/1.0\r\nHost: payments\r\n\r\n"

ANSWERS: dict[str, tuple[bytes, bytes]] = {
    "length 0": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "length 5": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "length before blanks": (b"HTTP/1.1 200 OK\r\nContent-Length:\t5 \t\r\n\r\nhello", b"hello"),
    "chunked": (CHUNKED + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", b"hello"),
    "chunked in capitals": (b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "an empty chunked body": (CHUNKED + b"0\r\n\r\n", b""),
    "extensions": (CHUNKED + b'5;a=b;c="d;e"\r\nhello\r\n0;x\r\n\r\n', b"hello"),
    "sizes with leading zeros": (CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "to the close": (b"HTTP/1.1 200 OK\r\n\r\nhello", b"hello"),
    "nothing to the close": (b"HTTP/1.1 200 OK\r\n\r\n", b""),
    "to the close though it says keep-alive": (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nhello", b"hello"),
    "HTTP/1.0 to the close": (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
    "HTTP/1.0 with length": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "205 with length 0": (b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", b""),
    "an empty line in a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n\r\n\r\nHTTP", b"\r\n\r\nHTTP"),
    "a body that looks like a response": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(OK) + OK, OK),
    "an error with a body": (b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "a redirect with a body": (b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
}
BODILESS: dict[str, bytes] = {
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "204 with length 0": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "204 with a coding": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "304 with a coding": b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
}
TO_HEAD: dict[str, bytes] = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "length 0": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "chunked": CHUNKED,
    "none": b"HTTP/1.1 200 OK\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 500\r\n\r\n",
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("answer", "content"), ANSWERS.values(), ids=ANSWERS)
def test_a_body_is_delivered_whole_and_framed_once(wire: Rig, answer: bytes, content: bytes, door: str) -> None:
    delivered = wire.delivered(answer, door=door)

    assert delivered.content == content
    assert delivered.line.startswith("HTTP/1.1 ")
    assert len(delivered.all("content-length")) + len(delivered.all("transfer-encoding")) == 1
    assert (delivered.get("content-length") is not None) == (b"length:" in answer.split(b"\r\n\r\n")[0].lower())


@pytest.mark.parametrize(("answer", "content"), ANSWERS.values(), ids=ANSWERS)
def test_an_old_client_gets_the_same_body_and_no_coding(wire: Rig, answer: bytes, content: bytes) -> None:
    client = wire.client().send(OLD)
    server = wire.server()
    assert server.message().line == "GET /x HTTP/1.1"
    server.send(answer)
    if close_delimited(answer):
        server.finish()

    head, _, body = client.rest().partition(b"\r\n\r\n")

    assert body == content
    assert b"transfer-encoding" not in head.lower()
    assert b"\r\nConnection: close" in head


@pytest.mark.parametrize(("answer", "content"), ANSWERS.values(), ids=ANSWERS)
def test_a_byte_at_a_time_from_upstream_is_as_good_as_all_at_once(wire: Rig, answer: bytes, content: bytes) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()

    for at in range(len(answer)):
        server.send(answer[at : at + 1])
    if close_delimited(answer):
        server.finish()

    assert client.message().content == content


@pytest.mark.parametrize("answer", BODILESS.values(), ids=BODILESS)
def test_204_and_304_carry_no_body_whatever_their_headers_say(wire: Rig, answer: bytes) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(answer)

    first = client.head()
    client.send(GET)
    assert server.message().line == "GET /x HTTP/1.1"  # on the same connections
    server.send(OK)

    assert client.message().body == b"ok"
    assert first.status == int(answer[9:12])
    assert first.get("transfer-encoding") is None
    assert first.status == 304 or first.get("content-length") is None


@pytest.mark.parametrize("answer", TO_HEAD.values(), ids=TO_HEAD)
def test_an_answer_to_head_carries_no_body_whatever_its_headers_say(wire: Rig, answer: bytes) -> None:
    client = wire.client().send(HEAD)
    server = wire.server()
    assert server.message().line == "HEAD /x HTTP/1.1"
    server.send(answer)

    first = client.head()
    client.send(GET)
    server.message()
    server.send(OK)

    assert client.message().body == b"ok"
    assert first.get("content-length") == (
        None if b"Length" not in answer else answer.split(b"Length: ")[1].split()[0].decode()
    )


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("said", [b"", b"Connection: close\r\n", b"Connection: keep-alive\r\n"])
def test_a_servers_connection_is_used_again_exactly_when_it_lets(wire: Rig, version: bytes, said: bytes) -> None:
    kept = b"close" not in said and (version == b"1.1" or said != b"")
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(b"HTTP/%b 200 OK\r\nContent-Length: 2\r\n%b\r\nok" % (version, said))
    assert client.message().get("connection") is None
    client.send(GET)

    again = server if kept else wire.server()
    assert again.message().line == "GET /x HTTP/1.1"
    again.send(OK)

    assert client.message().body == b"ok"
    assert kept or server.ending()[1] == "fin"


@pytest.mark.parametrize(
    ("version", "said", "kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: Close\r\n", False),
        (b"1.1", b"Connection: x, close\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"1.1", b"Connection: keep-alive, close\r\n", False),
        (b"1.1", b"Connection: ,\t,close\t,\r\n", False),
        (b"1.1", b"Proxy-Connection: close\r\n", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Proxy-Connection: keep-alive\r\n", False),
    ],
)
def test_a_clients_connection_is_kept_exactly_as_it_asks(wire: Rig, version: bytes, said: bytes, kept: bool) -> None:
    request = b"GET /x HTTP/%b\r\nHost: payments\r\n%b\r\n" % (version, said)
    client = wire.client().send(request)
    server = wire.server()
    server.message()
    server.send(OK)

    answer = client.message()

    assert answer.body == b"ok"
    assert answer.get("connection") == ("close" if not kept else "keep-alive" if version == b"1.0" else None)
    if kept:
        client.send(request)
        server.message()
        server.send(OK)
        assert client.message().body == b"ok"
    else:
        assert client.rest() == b""


TRAILED = CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\nX-Latin: \xe4\r\n\r\n"


def test_trailers_are_passed_on_to_a_chunked_side_in_order_and_case(wire: Rig) -> None:
    raw = (
        b"POST /x HTTP/1.1\r\nHost: payments\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        + TRAILED.partition(b"\r\n\r\n")[2]
    )

    forwarded, delivered = wire.ask(raw, TRAILED)

    assert forwarded.body.endswith(b"0\r\nX-Sum: 1\r\nx-sum: 2\r\nX-Latin: \xe4\r\n\r\n")
    assert delivered.body.endswith(b"0\r\nX-Sum: 1\r\nx-sum: 2\r\nX-Latin: \xe4\r\n\r\n")
    assert "trailer" not in forwarded.names | delivered.names


def test_trailers_are_dropped_for_an_old_client(wire: Rig) -> None:
    client = wire.client().send(OLD)
    server = wire.server()
    server.message()
    server.send(TRAILED)

    assert client.rest().endswith(b"\r\n\r\nok")


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Length", b"Transfer-Encoding", b"Host", b"Trailer", b"TE", b"Connection", b"Upgrade", b"Set-Cookie",
        b"Authorization", b"Cookie", b"Cache-Control", b"Content-Type", b"Content-Encoding", b"Content-Range",
        b"Max-Forwards", b"Expect", b"Keep-Alive", b"Proxy-Authorization", b"x-sidecar-attempts", b"x-retry-attempt",
        b"X-Request-Id", b"Idempotency-Key", b"Forwarded", b"X-Forwarded-For", b"Location", b"Vary",
    ],
)  # fmt: skip
def test_a_trailer_that_would_reframe_or_reroute_is_dropped(wire: Rig, name: bytes) -> None:
    trailed = b"2\r\nok\r\n0\r\n%b: 5\r\nX-Sum: 1\r\n\r\n" % name
    raw = b"POST /x HTTP/1.1\r\nHost: payments\r\nTransfer-Encoding: chunked\r\n\r\n" + trailed

    forwarded, delivered = wire.ask(raw, CHUNKED + trailed)

    assert forwarded.body == delivered.body == b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"


@pytest.mark.parametrize("line", [b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 \xe4\t\xff!", b"HTTP/1.0 200 Fine"])
def test_a_reason_is_passed_on_and_may_be_empty(wire: Rig, line: bytes) -> None:
    delivered = wire.delivered(line + b"\r\nContent-Length: 2\r\n\r\nok")

    assert delivered.line == "HTTP/1.1 " + (line[9:] + (b" " if len(line) == 12 else b"")).decode("latin-1")


@pytest.mark.parametrize("status", [200, 201, 206, 299, 300, 308, 400, 404, 418, 451, 500, 502, 599])
def test_a_status_is_passed_on_as_it_is(wire: Rig, status: int) -> None:
    delivered = wire.delivered(b"HTTP/1.1 %d Some Words\r\nContent-Length: 2\r\n\r\nok" % status)

    assert delivered.line == f"HTTP/1.1 {status} Some Words"
    assert delivered.body == b"ok"
