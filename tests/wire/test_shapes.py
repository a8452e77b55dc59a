"""Heads of a known shape are recognised, are read as they would be without, and nothing else is taken for one."""

import itertools
from collections.abc import Iterator

import pytest

from sidecar.wire.framing import CHUNKED, LENGTH, NONE
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.malformed import Malformed
from sidecar.wire.reader import RequestReader, ResponseReader
from sidecar.wire.shapes import FIELDS, HEAD_BYTES, MOST, PACE, RequestShape, ResponseShape, Shapes

REQUEST = (
    b"POST /pay?id=%d HTTP/1.1\r\nHost: payments\r\nConnection: keep-alive\r\nAccept:*/*\r\nUser-Agent: x %d\r\n"
    b"X-Request-Id: r-%d\r\ntraceparent: 00-%032x-01\r\nIdempotency-Key: k-%d\r\nContent-Length: %d\r\n\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 12:00:%02d GMT\r\nKeep-Alive: timeout=5, max=%d\r\n"
    b'Connection: keep-alive\r\nETag: "%d"\r\nRetry-After: %02d\r\nContent-Length: %d\r\n\r\n'
)


def request(number: int) -> bytes:
    return REQUEST % ((number,) * 6)


def response(number: int) -> bytes:
    return RESPONSE % ((number,) * 5)


def facts(head: RequestHead | ResponseHead | None) -> list[object]:
    assert head is not None
    return [getattr(head, slot) for slot in type(head).__slots__]


def of_requests() -> Shapes[RequestShape, RequestHead]:
    return Shapes(RequestShape, itertools.count().__next__)


def of_responses() -> Shapes[ResponseShape, ResponseHead]:
    return Shapes(ResponseShape, itertools.count().__next__)


def neighbours(data: bytes) -> Iterator[bytes]:
    """Each byte of it replaced by every other, left out, or doubled by a few that separate things."""
    for place in range(len(data)):
        for byte in range(256):
            yield data[:place] + bytes([byte]) + data[place + 1 :]
        yield data[:place] + data[place + 1 :]
        for more in (b" ", b"\t", b"\r", b"\n", b"\r\n", b":", b"\0", b"\xff"):
            yield data[:place] + more + data[place:]


def test_a_request_of_a_known_shape_is_recognised_and_read_as_it_would_be_without() -> None:
    shapes = of_requests()
    reader = RequestReader(shapes=shapes)
    reader.feed(request(1))

    head = reader.feed(request(22) + b"the body")

    assert len(shapes) == 1
    assert reader.rest == b"the body"
    assert facts(head) == facts(RequestReader().feed(request(22)))
    assert head is not None
    assert (head.target, head.request_id, head.length, head.framing) == (b"/pay?id=22", b"r-22", 22, LENGTH)
    assert b"Connection" not in head.fields


def test_a_response_of_a_known_shape_is_recognised_and_read_as_it_would_be_without() -> None:
    shapes = of_responses()
    reader = ResponseReader(shapes=shapes)
    reader.feed(response(1), to_head=False)

    head = reader.feed(response(22) + b"the body", to_head=False)

    assert len(shapes) == 1
    assert reader.rest == b"the body"
    assert facts(head) == facts(ResponseReader().feed(response(22), to_head=False))
    assert head is not None
    assert (head.date[-6:], head.retry_after, head.length) == (b"22 GMT", b"22", 22)


def test_the_framing_follows_the_length_of_each() -> None:
    reader = RequestReader(shapes=of_requests())
    answers = ResponseReader(shapes=of_responses())
    reader.feed(request(5))
    answers.feed(response(5), to_head=False)

    empty, none = reader.feed(request(0)), answers.feed(response(0), to_head=False)

    assert empty is not None
    assert none is not None
    assert (empty.framing, empty.length) == (NONE, 0)
    assert (none.framing, none.length) == (NONE, 0)


def test_a_chunked_response_has_a_shape() -> None:
    shapes = of_responses()
    reader = ResponseReader(shapes=shapes)
    raw = b"HTTP/1.1 200 OK\r\nServer: a%d\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n"
    reader.feed(raw % 1, to_head=False)

    head = reader.feed(raw % 2, to_head=False)

    assert len(shapes) == 1
    assert head is not None
    assert head.framing is CHUNKED
    assert head.fields == b"Server: a2\r\nX: y\r\n"


def test_no_neighbour_of_a_request_is_taken_for_what_it_is_not() -> None:
    raw = b"GET /a?b HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nContent-Length: 12\r\nx-request-id: r1\r\nX: y\r\n\r\n"
    head = RequestReader().feed(raw)
    assert head is not None
    shape = RequestShape(raw, head)
    recognised = 0

    for other in neighbours(raw):
        match = shape.match(other)
        if match is not None:
            recognised += 1
            reader = RequestReader()
            assert facts(shape.head(match)) == facts(reader.feed(other))
            assert other[match.end() :] == reader.rest

    assert recognised > 500


def test_no_neighbour_of_a_response_is_taken_for_what_it_is_not() -> None:
    raw = b"HTTP/1.1 200 A\r\nDate: d1\r\nContent-Length: 12\r\nConnection: X\r\nX: y\r\nRetry-After: 12\r\n\r\n"
    head = ResponseReader().feed(raw, to_head=False)
    assert head is not None
    shape = ResponseShape(raw, head)
    recognised = 0

    for other in neighbours(raw):
        match = shape.match(other)
        if match is not None:
            recognised += 1
            reader = ResponseReader()
            assert facts(shape.head(match)) == facts(reader.feed(other, to_head=False))
            assert other[match.end() :] == reader.rest

    assert recognised > 500


@pytest.mark.parametrize(
    "raw",
    [
        b"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-request-id\r\nx-request-id: r1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * FIELDS + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * HEAD_BYTES + b"\r\n\r\n",
    ],
)
def test_requests_of_rare_kinds_have_no_shape(raw: bytes) -> None:
    shapes = of_requests()

    RequestReader(shapes=shapes).feed(raw)

    assert not shapes


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n",
        b"HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_responses_of_rare_kinds_have_no_shape(raw: bytes) -> None:
    shapes = of_responses()

    ResponseReader(shapes=shapes).feed(raw, to_head=False)

    assert not shapes


def test_an_answer_to_head_is_never_recognised() -> None:
    reader = ResponseReader(shapes=of_responses())
    reader.feed(response(5), to_head=False)

    head = reader.feed(response(5), to_head=True)

    assert head is not None
    assert head.framing is NONE


def test_what_came_in_pieces_teaches_nothing_and_is_not_recognised() -> None:
    shapes = of_requests()
    reader = RequestReader(shapes=shapes)

    for piece in (request(1)[:50], request(1)[50:]):
        reader.feed(piece)
    assert not shapes
    reader.feed(request(2))
    assert reader.feed(request(3)[:50]) is None

    assert facts(reader.feed(request(3)[50:])) == facts(RequestReader().feed(request(3)))


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        (RequestReader(max_fields=5), "too_many_fields"),
        (RequestReader(max_target=8), "target_too_long"),
        (RequestReader(max_bytes=200), "head_too_large"),
    ],
)
def test_limits_hold_for_a_known_shape_as_for_any_head(reader: RequestReader, reason: str) -> None:
    shapes = of_requests()
    RequestReader(shapes=shapes).feed(request(1))
    reader._shapes = shapes  # those of a connection with other limits

    with pytest.raises(Malformed) as refused:
        reader.feed(request(123456))

    assert refused.value.reason == reason


def test_only_the_shapes_met_last_are_kept() -> None:
    shapes = of_requests()
    reader = RequestReader(shapes=shapes)
    other = b"GET / HTTP/1.1\r\nHost: a\r\nX-%d: y\r\n\r\n"

    reader.feed(request(1))
    for number in range(3 * MOST):
        reader.feed(other % number)
        reader.feed(request(number))

    assert len(shapes) == MOST
    assert shapes[0].match(request(1)) is not None
    assert shapes[1].match(other % (3 * MOST - 1)) is not None
    assert shapes[MOST - 1].match(other % (2 * MOST + 1)) is not None


def test_ever_new_shapes_are_not_learnt_faster_than_they_may() -> None:
    now = 100.0
    shapes = Shapes(RequestShape, lambda: now)
    reader = RequestReader(shapes=shapes)
    reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    reader.feed(b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
    assert len(shapes) == 1
    now += PACE
    reader.feed(b"GET / HTTP/1.1\r\nHost: c\r\n\r\n")

    assert len(shapes) == 2
