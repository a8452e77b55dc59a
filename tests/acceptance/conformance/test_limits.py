"""Every limit: reached by its setting in the policy, on both of its sides, with its status; nothing without a bound."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.conformance.rig import GET, MOMENT, OK, Message, Peer, Rig, wait_until
from tests.fakes.names import BlackHole

HEAD = b"GET /x HTTP/1.1\r\nHost: payments\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: payments\r\n"
LINE = b"HTTP/1.1 200 OK\r\n"
HINT = b"HTTP/1.1 103 E\r\nLink: " + b"x" * 192 + b"\r\n\r\n"
"""An interim answer that counts as 205 bytes: its status, its reason and its one line."""
NARROW = b"PUT /x HTTP/1.1\r\nHost: narrow\r\n"
"""To a destination with one place, one seat for who waits, two attempts and a replay buffer of 1 KiB."""


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


@pytest.mark.parametrize("size", [4096, 4097])
def test_an_answers_head_may_be_as_large_as_its_limit_and_no_larger(tight: Rig, size: int) -> None:
    start = LINE + b"Content-Length: 0\r\nX: "
    answer = start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"

    assert tight.delivered(answer).status == (200 if size == 4096 else 502)


def test_interim_answers_may_be_as_many_as_fit_the_limit_of_a_head_and_no_more(tight: Rig) -> None:
    before = tight.rejections()["head_too_large"]
    client = tight.client().send(GET)
    server = tight.server()
    server.message()
    server.send(HINT * 19 + OK)
    assert [client.head().status for _ in range(19)] == [103] * 19
    assert client.message().body == b"ok"

    client.send(GET)
    server.message()
    server.send(HINT * 10)  # a new question, a new count
    assert [client.head().status for _ in range(10)] == [103] * 10
    server.send(HINT * 10 + OK)

    assert [client.head().status for _ in range(9)] == [103] * 9
    assert client.message().status == 502
    assert server.ending()[0] == b""
    assert tight.rejections()["head_too_large"] == before + 1


@pytest.mark.parametrize("size", [4096, 4097])
def test_the_line_of_a_chunks_size_may_have_4_kib_and_no_more(wire: Rig, size: int) -> None:
    line = b"2;" + b"e" * (size - 4) + b"\r\n"

    client = wire.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + line + b"hi\r\n0\r\n\r\n")
    if size == 4096:
        server = wire.server()
        assert server.message().content == b"hi"
        server.send(OK)
        assert client.message().status == 200
    else:
        assert client.rest().startswith(b"HTTP/1.1 400 ")


def test_extensions_without_end_are_no_body_without_end(tight: Rig) -> None:
    client = tight.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    server = tight.server()

    with contextlib.suppress(OSError):
        for _ in range(100):
            client.send(b"1;" + b"e" * 4000 + b"\r\na\r\n")

    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert b"\r\n0\r\n" not in server.ending()[0]  # the last chunk; an id may end with a zero too


@pytest.mark.parametrize("number", [100, 101])
def test_a_trailer_may_have_100_fields_and_no_more_both_ways(wire: Rig, number: int) -> None:
    trailed = b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * number + b"\r\n"
    client = wire.client().send(POST + trailed)
    if number == 100:
        server = wire.server()
        assert server.message().body.count(b"X: y\r\n") == 100
        server.send(LINE + trailed)
        assert client.message().body.count(b"X: y\r\n") == 100
    else:
        assert client.rest().startswith(b"HTTP/1.1 431 ")
        client = wire.client().send(GET)
        server = wire.server()
        server.message()
        server.send(LINE + trailed)
        assert client.ending()[1] == "reset"


@pytest.mark.parametrize("size", [255, 256])
def test_a_host_may_have_255_bytes_and_no_more(wire: Rig, size: int) -> None:
    head = b"GET /x HTTP/1.1\r\nHost: %b\r\n\r\n" % (b"a" * size)

    if size == 255:
        assert wire.forwarded(head).get("host") == "a" * 255
    else:
        assert refused(wire, head, "host").status == 400


def test_a_length_may_have_63_bits_and_no_more_both_ways(wire: Rig) -> None:
    most = b"Content-Length: %d\r\n\r\n" % (2**63 - 1)
    more = b"Content-Length: %d\r\n\r\n" % 2**63

    client = wire.client().send(POST + most)
    server = wire.server()
    assert server.head().get("content-length") == str(2**63 - 1)
    server.send(LINE + most)
    assert client.head().get("content-length") == str(2**63 - 1)
    wire.settle()
    assert refused(wire, POST + more, "content_length").status == 400
    assert wire.delivered(LINE + more).status == 502


def test_a_body_is_repeated_if_it_fits_the_replay_buffer_and_sent_once_if_it_is_longer(wire: Rig) -> None:
    told = []
    for size in (1024, 1025):
        client = wire.client("host").send(NARROW + b"Content-Length: %d\r\n\r\n" % size + b"a" * size)
        server = wire.server()
        assert len(server.message().body) == size
        server.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        if size == 1024:
            assert len(server.message().body) == size
            server.send(OK)
        answer = client.message()
        told.append((answer.status, answer.get("x-sidecar-attempts"), answer.get("x-sidecar-refusal")))
        wire.settle()

    assert told == [(200, "2", None), (503, "1", "not_replayable")]


def test_who_finds_no_seat_among_those_that_wait_is_refused_at_once(wire: Rig) -> None:
    get = NARROW.replace(b"PUT", b"GET") + b"\r\n"
    served = wire.client("host").send(get)
    server = wire.server()
    server.message()
    waiting = wire.client("host").send(get)
    wait_until(lambda: wire.metric("sidecar_waiting") == 1)

    with lasting(0, 0.5):
        answer = wire.client("host").send(get).message()

    assert (answer.status, b'"concurrency_limit"' in answer.body) == (503, True)
    server.send(OK)
    assert served.message().body == b"ok"
    server.message()
    server.send(OK)
    assert waiting.message().body == b"ok"


@pytest.mark.parametrize("door", ["host", "CONNECT"])
def test_a_connection_that_can_not_be_had_in_time_is_a_502(wire: Rig, tight: Rig, door: str) -> None:
    hole = BlackHole("127.0.0.1")
    try:
        target = b"127.0.0.1:%d" % hole.port
        if door == "host":
            client = tight.client("host").send(b"GET http://%b/ HTTP/1.1\r\nHost: x\r\n\r\n" % target)
            least, most = 0.15, 0.28  # and not the 504 of its time-out, 300 ms
        else:
            client = wire.client("host").send(b"CONNECT %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
            least, most = 0.9, 2.0

        with lasting(least, most):
            answer = client.message()
    finally:
        hole.close()

    assert (answer.status, b'"connect_failure"' in answer.body) == (502, True)


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


def test_a_head_that_is_complete_just_in_time_is_served(tight: Rig) -> None:
    client = tight.client().send(HEAD)
    assert client.silent(0.15)
    client.send(b"\r\n")
    server = tight.server()
    server.message()
    server.send(OK)

    assert client.message().body == b"ok"


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


def test_a_connection_is_kept_for_a_second_request_that_comes_in_time(tight: Rig) -> None:
    client = tight.client().send(GET)
    server = tight.server()
    server.message()
    server.send(OK)
    client.message()
    assert server.silent(0.15)  # of 300 ms, and the client's 600

    client.send(GET)

    server.message()
    server.send(OK)
    assert client.message().body == b"ok"


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


def test_of_many_that_knock_at_once_no_more_are_let_in_than_the_limit(tight: Rig) -> None:
    os.kill(tight.process.pid, signal.SIGSTOP)
    knocking = []
    for _ in range(60):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", tight.own))
        knocking.append(sock)
    os.kill(tight.process.pid, signal.SIGCONT)

    inside = [tight.metric("sidecar_downstream_connections") for _ in range(10)]
    for sock in knocking:
        sock.close()

    assert max(inside) == 8
    wait_until(lambda: tight.metric("sidecar_downstream_connections") == 0)


def test_as_many_connections_as_the_limit_are_served_at_once(tight: Rig) -> None:
    clients = [tight.client().send(GET) for _ in range(8)]
    servers = [tight.server() for _ in clients]
    for server in servers:
        server.message()
    for server in servers:
        server.send(OK)

    assert [client.message().body for client in clients] == [b"ok"] * 8


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


def test_a_client_that_asks_on_and_on_before_it_is_answered_is_not_read_meanwhile(wire: Rig) -> None:
    before = resident(wire)
    client = wire.client().send(GET)
    server = wire.server()
    server.message()

    sent = fill(client, GET * 1000)

    assert sent < 16 << 20
    assert resident(wire) - before < 8 << 20
    assert server.silent(MOMENT)
    server.reset()
    client.reset()


def test_a_server_that_does_not_read_an_upload_costs_no_memory(wire: Rig) -> None:
    size = 64 << 20
    before = resident(wire)
    pairs: list[tuple[Peer, Peer]] = []
    for _ in range(16):
        client = wire.client().send(POST + b"Content-Length: %d\r\n\r\n" % size)
        server = wire.server()
        server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        pairs.append((client, server))

    with ThreadPoolExecutor(16) as pool:
        sent = sum(pool.map(lambda pair: fill(pair[0]), pairs))
    grown = resident(wire) - before
    for client, server in pairs:
        client.reset()
        server.reset()

    assert sent < 16 * (16 << 20)
    assert grown < 32 << 20


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


def fill(peer: Peer, data: bytes = b"x" * 65536, seconds: float = 0.3) -> int:
    """Send until the other side takes no more for a while, or 64 MiB; how much it took."""
    peer.sock.settimeout(seconds)
    sent = 0
    with contextlib.suppress(OSError):
        while sent < 64 << 20:
            sent += peer.sock.send(data[sent % len(data) :])
    return sent


def resident(rig: Rig) -> int:
    pages = int(Path(f"/proc/{rig.process.pid}/statm").read_text().split()[1])
    return pages * 4096
