"""What a client of no protocol in particular is told by an exchange: heads, bodies, trailers; no bytes of HTTP/1."""

from sidecar.proxy.codecs import HTTP1
from sidecar.proxy.upstream import Upstream
from tests.fakes.playbook import Stage


def upstream_of(on: Stage) -> Upstream:
    (stream,) = on.streams
    assert isinstance(stream, Upstream)
    return stream


def test_a_chunked_answer_is_a_head_a_body_and_trailers() -> None:
    on = Stage(HTTP1)
    client = on.ask()

    upstream = upstream_of(on)
    upstream.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n5\r\nhello\r\n")
    upstream.data_received(b"0\r\nx-sum: 9\r\n\r\n")

    assert client.log == ["respond 200", "end"]
    assert client.content == b"hello"
    assert client.trailers == b"x-sum: 9\r\n"
    assert client.added == b"x-sidecar-attempts: 1\r\n"


def test_interim_answers_are_heads_as_well() -> None:
    on = Stage(HTTP1)
    client = on.ask()

    upstream_of(on).data_received(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")

    assert client.log == ["interim 103", "respond 204", "end"]


def test_an_answer_that_breaks_off_is_a_reset_and_never_an_end() -> None:
    on = Stage(HTTP1)
    client = on.ask()

    upstream = upstream_of(on)
    upstream.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    upstream.connection_lost(None)

    assert client.log == ["respond 200", "reset"]
    assert client.content == b"half"
