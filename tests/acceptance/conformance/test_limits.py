"""Every limit of wire.md: reachable by its setting in the policy, with its status, and nothing without a bound."""

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.conformance.rig import GET, OK, Message, Peer, Rig, wait_until

HEAD = b"GET /x HTTP/1.1\r\nHost: payments\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: payments\r\n"
LINE = b"HTTP/1.1 200 OK\r\n"


def refused(rig: Rig, raw: bytes, reason: str) -> Message:
    before = rig.rejections()[reason]
    answer = rig.refused(raw)
    assert answer.get("connection") == "close"
    assert rig.rejections()[reason] == before + 1
    return answer


@contextlib.contextmanager
def lasting(least: float, most: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert least <= time.monotonic() - began <= most


def test_a_head_may_be_as_large_as_its_limit_and_no_larger(tight: Rig) -> None:
    filler = b"a" * (4096 - len(HEAD) - len(b"X: \r\n\r\n"))

    assert tight.forwarded(HEAD + b"X: " + filler + b"\r\n\r\n").get("x") == filler.decode()
    assert refused(tight, HEAD + b"X: " + filler + b"a\r\n\r\n", "head_too_large").status == 431
    assert refused(tight, HEAD + b"X: " + b"a" * 5000, "head_too_large").status == 431
    assert refused(tight, HEAD + b"a" * 5000, "head_too_large").status == 431


def test_a_head_may_have_as_many_fields_as_its_limit_and_no_more(tight: Rig) -> None:
    assert len(tight.forwarded(HEAD + b"X: y\r\n" * 19 + b"\r\n").all("x")) == 19
    assert refused(tight, HEAD + b"X: y\r\n" * 20 + b"\r\n", "too_many_fields").status == 431


def test_a_target_may_be_as_long_as_its_limit_and_no_longer(tight: Rig) -> None:
    assert len(tight.forwarded(HEAD.replace(b"/x", b"/" + b"a" * 1023) + b"\r\n").line) > 1024
    assert refused(tight, HEAD.replace(b"/x", b"/" + b"a" * 1024) + b"\r\n", "target_too_long").status == 414
    assert refused(tight, b"GET /" + b"a" * 5000, "target_too_long").status == 414


def test_a_head_amid_a_row_keeps_within_the_same_limits(tight: Rig) -> None:
    client = tight.client().send(GET + HEAD + b"X: " + b"a" * 5000 + b"\r\n\r\n" + GET)
    server = tight.server()
    server.message()
    server.send(OK)

    assert client.message().body == b"ok"
    assert client.rest().startswith(b"HTTP/1.1 431 ")
    assert tight.uncalled(0.01)


def test_a_body_may_be_as_large_as_its_limit_and_no_larger_declared_or_not(tight: Rig) -> None:
    size = 64 << 10
    whole = b"a" * size

    assert tight.forwarded(POST + b"Content-Length: %d\r\n\r\n%b" % (size, whole)).body == whole
    assert refused(tight, POST + b"Content-Length: %d\r\n\r\n" % (size + 1), "body_too_large").status == 413
    assert (
        refused(tight, POST + b"Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n", "body_too_large").status == 413
    )
    assert tight.uncalled(0.01)
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert len(tight.forwarded(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (size, whole)).content) == size
    assert refused(tight, chunked + b"%x\r\n%ba\r\n0\r\n\r\n" % (size + 1, whole), "body_too_large").status == 413


def test_a_trailer_keeps_within_the_limits_of_a_head(tight: Rig) -> None:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"

    assert refused(tight, chunked + b"X: " + b"a" * 5000 + b"\r\n\r\n", "head_too_large").status == 431
    assert refused(tight, chunked + b"X:\r\n" * 101 + b"\r\n", "too_many_fields").status == 431


def test_an_answers_head_and_trailer_keep_within_theirs(tight: Rig) -> None:
    for answer, reason in (
        (LINE + b"X: " + b"a" * 4096 + b"\r\n\r\n", "head_too_large"),
        (LINE + b"X: " + b"a" * 5000, "head_too_large"),
        (LINE + b"X: y\r\n" * 11 + b"\r\n", "too_many_fields"),
    ):
        before = tight.rejections()[reason]
        delivered = tight.delivered(answer + b"")
        assert (delivered.status, b'"protocol"' in delivered.body) == (502, True)
        assert tight.rejections()[reason] == before + 1
    assert tight.delivered(LINE + b"X: y\r\n" * 9 + b"Content-Length: 0\r\n\r\n").status == 200
    client = tight.client().send(GET)
    server = tight.server()
    server.message()
    server.send(LINE + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 5000 + b"\r\n\r\n")
    assert client.ending()[1] == "reset"


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", HEAD])
def test_a_head_that_is_not_complete_in_time_is_a_408(tight: Rig, sent: bytes) -> None:
    with lasting(0.25, 1.5):
        assert refused(tight, sent, "head_timeout").status == 408


def test_a_head_that_comes_a_byte_now_and_then_is_a_408_all_the_same(tight: Rig) -> None:
    client = tight.client()
    with lasting(0.25, 1.5), contextlib.suppress(OSError):
        for byte in HEAD * 100:
            client.send(bytes((byte,)))
            if not client.silent(0.02):
                break

    assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_a_second_head_has_the_same_time(tight: Rig) -> None:
    client = tight.client().send(GET)
    server = tight.server()
    server.message()
    server.send(OK)
    client.message()
    client.send(b"GET /y HT")

    with lasting(0.2, 1.5):
        assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_a_body_that_stops_coming_is_a_408_and_never_whole_upstream(tight: Rig) -> None:
    before = tight.rejections()["body_timeout"]
    client = tight.client().send(POST + b"Content-Length: 5\r\n\r\nhel")
    server = tight.server()
    server.until(b"hel")

    with lasting(0.2, 1.5):
        assert client.rest().startswith(b"HTTP/1.1 408 ")

    assert server.ending()[0] == b""
    assert tight.rejections()["body_timeout"] == before + 1


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n\r\n"])
def test_a_connection_on_which_nothing_is_asked_is_closed_without_a_word(tight: Rig, sent: bytes) -> None:
    client = tight.client().send(sent)

    with lasting(0.5, 2):
        assert client.rest() == b""


def test_empty_lines_do_not_keep_a_connection_open(tight: Rig) -> None:
    client = tight.client()
    with lasting(0.5, 2), contextlib.suppress(OSError, AssertionError):
        while client.silent(0.02):
            client.send(b"\r\n")


def test_a_connection_is_closed_when_no_second_request_comes(tight: Rig) -> None:
    client = tight.client().send(GET)
    server = tight.server()
    server.message()
    server.send(OK)
    client.message()

    with lasting(0.5, 2):
        assert client.rest() == b""


def test_a_servers_connection_is_closed_when_no_second_request_comes(tight: Rig) -> None:
    client = tight.client().send(GET)
    server = tight.server()
    server.message()
    server.send(OK)
    client.message()

    with lasting(0.2, 2):
        assert server.ending() == (b"", "fin")


def test_an_answer_that_does_not_begin_in_time_is_a_504(tight: Rig) -> None:
    client = tight.client().send(GET)
    server = tight.server()
    server.message()

    with lasting(0.2, 1.5):
        assert client.message().status == 504
    assert server.ending()[0] == b""


def test_a_head_that_upstream_dribbles_for_ever_is_a_504(tight: Rig) -> None:
    client = tight.client().send(GET)
    server = tight.server()
    server.message()
    with contextlib.suppress(OSError), lasting(0.2, 1.5):
        for byte in LINE + b"X: " + b"a" * 1000:
            server.send(bytes((byte,)))
            if not client.silent(0.02):
                break

    assert client.message().status == 504


def test_a_body_that_upstream_stops_sending_is_broken_off(tight: Rig) -> None:
    client = tight.client().send(GET)
    server = tight.server()
    server.message()
    server.send(LINE + b"Content-Length: 5\r\n\r\nhel")
    client.until(b"hel")

    with lasting(0.2, 1.5):
        assert client.ending()[1] == "reset"
    server.ending()


def test_a_reader_that_never_reads_is_let_go_and_so_is_the_server(tight: Rig) -> None:
    client = tight.client().send(GET)
    server = tight.server()
    server.message()
    server.send(LINE + b"Content-Length: %d\r\n\r\n" % (1 << 30))

    server.sock.settimeout(3)
    with pytest.raises(OSError), lasting(0.2, 4):  # noqa: PT011 - a reset, or a broken pipe
        for _ in range(1 << 14):
            server.send(b"x" * 65536)

    client.ending()


def test_connections_over_the_limit_wait_until_another_has_ended(tight: Rig) -> None:
    held = [tight.client().send(b"G") for _ in range(8)]
    wait_until(lambda: tight.metric("sidecar_downstream_connections") >= 8)
    waiting = tight.client().send(GET)
    assert tight.uncalled()
    held[0].close()

    server = tight.server()

    server.message()
    server.send(OK)
    assert waiting.message().body == b"ok"


def test_a_slow_client_costs_no_memory(wire: Rig) -> None:
    """16 readers who take nothing of 64 MiB each: what is kept is what the transports hold."""
    size = 64 << 20
    before = resident(wire)
    pairs: list[tuple[Peer, Peer]] = []
    for _ in range(16):
        client = wire.client()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(GET)
        server = wire.server()
        server.message()
        server.send(LINE + b"Content-Length: %d\r\n\r\n" % size)
        pairs.append((client, server))

    with ThreadPoolExecutor(16) as pool:
        sent = sum(pool.map(lambda pair: fill(pair[1]), pairs))

    assert sent < 16 * (16 << 20)
    assert resident(wire) - before < 32 << 20


def fill(server: Peer) -> int:
    server.sock.settimeout(0.3)
    sent = 0
    with contextlib.suppress(OSError):
        while sent < 64 << 20:
            sent += server.sock.send(b"x" * 65536)
    return sent


def resident(rig: Rig) -> int:
    pages = int(Path(f"/proc/{rig.process.pid}/statm").read_text().split()[1])
    return pages * 4096
