"""Nobody gets what was meant for somebody else: leftovers, unsolicited bytes, early and late answers."""

import os
import signal
import time

import pytest

from tests.acceptance.conformance.rig import GET, OK, Rig, wait_until

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
POST = b"POST /x HTTP/1.1\r\nHost: payments\r\n"

WITH_LEFTOVERS = {
    "length": (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "length 0": (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    "chunked": (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
    "204": (GET, b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "304": (GET, b"HTTP/1.1 304 Not Modified\r\n\r\n", b""),
    "HEAD": (GET.replace(b"GET", b"HEAD"), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b""),
    "HEAD, chunked": (GET.replace(b"GET", b"HEAD"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
}


@pytest.mark.parametrize("extra", [EVIL, b"\r\n", b"x", b"\x00", b"HTTP/1.1 100 Continue\r\n\r\n"])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(("raw", "answer", "content"), WITH_LEFTOVERS.values(), ids=WITH_LEFTOVERS)
def test_bytes_after_a_response_are_delivered_to_nobody_and_end_the_connection(
    wire: Rig, raw: bytes, answer: bytes, content: bytes, late: bool, extra: bytes
) -> None:
    before = wire.rejections()["unexpected_bytes"]
    client = wire.client().send(raw)
    server = wire.server()
    server.message()

    server.send(answer if late else answer + extra)
    delivered = client.message(to_head=raw.startswith(b"HEAD"))
    if late:
        server.send(extra)

    assert delivered.content == content if delivered.body else content == b""
    assert server.ending()[0] == b""
    client.send(GET)
    other = wire.server()
    other.message()
    other.send(OK)
    assert client.message().body == b"ok"
    assert client.silent(0.01)
    assert wire.rejections()["unexpected_bytes"] == before + 1


def test_a_body_longer_than_its_length_is_cut_and_the_rest_reaches_nobody(wire: Rig) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    server.send(b"okEVIL")

    assert client.message().body == b"ok"
    assert server.ending()[0] == b""


def test_bytes_on_a_connection_before_any_request_are_no_answer(wire: Rig) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(OK)
    client.message()

    server.send(EVIL)

    assert server.ending()[0] == b""
    client.send(GET)
    other = wire.server()
    other.message()
    other.send(OK)
    assert client.message().body == b"ok"


def test_an_answer_in_the_same_moment_as_the_next_question_is_not_its_answer(wire: Rig) -> None:
    for _ in range(30):
        client = wire.client().send(GET)
        server = wire.server()
        server.message()
        server.send(OK)
        assert client.message().body == b"ok"

        server.send(EVIL)  # already on its way when the question is asked
        client.send(GET)
        while True:
            other = wire.server()
            if other.message().line:
                break
        other.send(OK)

        assert client.message().body == b"ok"
        wire.settle()


def test_an_answer_that_came_before_its_question_was_sent_is_not_its_answer(wire: Rig) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(OK)
    assert client.message().body == b"ok"
    os.kill(wire.process.pid, signal.SIGSTOP)
    client.send(GET)
    server.send(EVIL)  # both are there when the sidecar looks, the question first
    os.kill(wire.process.pid, signal.SIGCONT)

    other = wire.server()
    other.message()
    other.send(OK)

    assert client.message().body == b"ok"
    assert server.ending()[0] == b""


def test_an_early_answer_is_delivered_and_ends_both_connections(wire: Rig) -> None:
    client = wire.client().send(POST + b"Content-Length: 100\r\n\r\nhalf")
    server = wire.server()
    server.until(b"half")

    server.send(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")

    answer = client.message()
    assert (answer.status, answer.body, answer.get("connection")) == (413, b"no", "close")
    client.send(b"x" * 96 + GET)  # what was its body may not become a request
    assert client.rest() == b""
    assert server.ending()[0] in (b"", b"x" * 96)
    assert wire.uncalled()


def test_an_early_answer_whose_body_goes_on_lets_the_upload_go_on(wire: Rig) -> None:
    client = wire.client().send(POST + b"Content-Length: 8\r\n\r\nhalf")
    server = wire.server()
    server.until(b"half")
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nan")
    client.until(b"an")

    client.send(b"rest")
    server.until(b"rest")
    server.send(b"sw")

    assert client.read(2) == b"sw"
    assert client.rest() == b""


def test_an_answer_before_the_chunked_upload_ended_leaves_nothing_to_be_parsed(wire: Rig) -> None:
    client = wire.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    server = wire.server()
    server.until(b"abc\r\n")
    server.send(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
    assert client.message().get("connection") == "close"

    client.send(b"0\r\n\r\n" + GET)

    assert client.rest() == b""
    assert wire.uncalled()


def test_two_callers_on_one_pooled_connection_get_their_own_answers(wire: Rig) -> None:
    one, two = wire.client(), wire.client()
    server = None
    for number in range(20):
        caller = (one, two)[number % 2]
        caller.send(b"GET /%d HTTP/1.1\r\nHost: payments\r\n\r\n" % number)
        server = server or wire.server()
        target = server.message().line.split()[1]
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target.encode()))

        assert caller.message().body == b"/%d" % number
    assert wire.uncalled(0.01)


def test_a_caller_who_left_never_leaves_his_answer_to_another(wire: Rig) -> None:
    gone = wire.client().send(GET)
    server = wire.server()
    server.message()
    gone.close()

    assert server.ending()[0] == b""

    client = wire.client().send(GET)
    other = wire.server()
    other.message()
    other.send(OK)
    assert client.message().body == b"ok"


def test_a_caller_who_left_in_the_middle_of_an_answer_ends_the_connection(wire: Rig) -> None:
    gone = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbegin")
    gone.until(b"begin")

    gone.reset()

    assert server.ending()[0] == b""


def test_a_caller_who_left_during_a_back_off_is_asked_for_no_more(wire: Rig) -> None:
    before = wire.metric("sidecar_requests_total")
    gone = wire.client("shop").send(GET)
    server = wire.server()
    server.message()
    server.send(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
    wait_until(lambda: wire.metric("sidecar_in_flight") == 0)

    gone.close()

    wait_until(lambda: wire.metric("sidecar_requests_total") == before + 1)  # it is over at once, and counted
    assert server.silent(1.2)  # the connection is idle, and nobody comes back when the second is over
    assert wire.uncalled(0.01)
    assert wire.metric("sidecar_waiting") == 0


def test_a_caller_who_left_while_he_waited_for_a_place_is_not_asked_for(wire: Rig) -> None:
    get = b"GET /x HTTP/1.1\r\nHost: narrow\r\n\r\n"  # one place, one seat
    served = wire.client("host").send(get)
    server = wire.server()
    server.message()
    gone = wire.client("host").send(get.replace(b"/x", b"/gone"))
    wait_until(lambda: wire.metric("sidecar_waiting") == 1)

    gone.close()

    wait_until(lambda: wire.metric("sidecar_waiting") == 0)
    server.send(OK)
    assert served.message().body == b"ok"
    assert server.silent()
    wait_until(lambda: wire.metric("sidecar_in_flight") == 0)


def test_a_connection_that_the_server_closed_while_idle_is_not_used(wire: Rig) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(OK)
    client.message()
    before = wire.metric("sidecar_connections")
    server.close()
    wait_until(lambda: wire.metric("sidecar_connections") < before)

    client.send(POST + b"Content-Length: 2\r\n\r\nhi")

    other = wire.server()
    assert other.message().body == b"hi"
    other.send(OK)
    assert client.message().body == b"ok"


INNER = b"GET /evil HTTP/1.1\r\nHost: payments\r\n\r\n"
PAYLOADS = {
    "CL.TE": b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "TE.CL": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n",
    "TE.TE": b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n" + INNER,
    "TE in a folded line": b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE after LF": b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE with NUL": b"Transfer-Encoding\x00: chunked\r\n\r\n0\r\n\r\n",
    "CL with a space before the colon": b"Content-Length : 5\r\n\r\nhello",
    "CL twice": b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + INNER,
    "a chunk that lies": b"Transfer-Encoding: chunked\r\n\r\n0;\n" + INNER + b"0\r\n\r\n",
    "a chunk with junk": b"Transfer-Encoding: chunked\r\n\r\n1\r\naXX\r\n0\r\n\r\n" + INNER,
}


@pytest.mark.parametrize("door", ["own", "host"])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_smuggled_request_reaches_nobody(wire: Rig, payload: bytes, door: str) -> None:
    client = wire.client(door).send(POST + payload + INNER)

    answers = client.rest()

    assert answers.startswith(b"HTTP/1.1 400 ")
    assert answers.count(b"HTTP/1.1 ") == 1
    assert wire.uncalled(0.01)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"POST"])
def test_a_body_on_any_method_is_its_body_and_no_request(wire: Rig, method: bytes) -> None:
    inner = b"GET /evil HTTP/1.1\r\nHost: payments\r\n\r\n"
    raw = b"%b /x HTTP/1.1\r\nHost: payments\r\nContent-Length: %d\r\n\r\n%b" % (method, len(inner), inner)

    forwarded, _ = wire.ask(raw, OK.replace(b"ok", b"") if method == b"HEAD" else OK, to_head=method == b"HEAD")

    assert forwarded.body == inner
    assert forwarded.get("content-length") == str(len(inner))
    assert wire.uncalled(0.01)


def test_a_response_is_not_split_by_what_a_request_carries(wire: Rig) -> None:
    raw = b"GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: payments\r\nX-Request-Id: a%0d%0ab \xe4\r\n\r\n"

    forwarded, delivered = wire.ask(raw, OK)

    assert forwarded.line == "GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1"
    assert forwarded.all("x-request-id") == ["a%0d%0ab \xe4"]
    assert delivered.get("set-cookie") is None


def test_a_retry_of_a_chunked_body_keeps_its_framing(wire: Rig) -> None:
    body = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"
    client = wire.client("shop").send(b"PUT /x HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    server = wire.server()
    first = server.message()
    server.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    second = server.message()
    server.send(OK)

    assert client.message().get("x-sidecar-attempts") == "2"
    assert first.content == second.content == b"abcde"
    assert first.body.endswith(b"\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert second.body.endswith(b"\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert second.get("x-retry-attempt") == "2"


def test_a_refused_retry_delivers_the_response_byte_for_byte(wire: Rig) -> None:
    raw = b"HTTP/1.1 503 Come  Back\r\nRetry-After: 3600\r\nX-Odd:  a\t \r\nContent-Length: 7\r\nx-odd: b\r\n\r\n"
    raw += b"no\x00\r\n\xff\n"
    client = wire.client("shop").send(GET)
    server = wire.server()
    server.message()
    server.send(raw)

    delivered = client.message()

    fields = raw.partition(b"\r\n\r\n")[0]
    assert delivered.raw.startswith(fields)
    assert delivered.body == b"no\x00\r\n\xff\n"
    assert (delivered.get("x-sidecar-attempts"), delivered.get("x-sidecar-refusal")) == ("1", "retry_after_too_long")
    assert wire.uncalled()


def test_a_request_that_ends_in_the_middle_is_never_whole_upstream(wire: Rig) -> None:
    raw = POST + b"Content-Length: 5\r\n\r\nhello"
    for at in range(1, len(raw)):
        client = wire.client().send(raw[:at])
        if at >= len(raw) - 5:
            server = wire.server()
            server.until(b"\r\n\r\n")
        client.finish()

        rest = client.ending()[0]

        assert rest == b"" or rest.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
        if at >= len(raw) - 5:
            got = server.ending()[0]
            assert len(got) < 5
        wire.settle()


def test_a_chunked_request_that_ends_in_the_middle_is_never_whole_upstream(wire: Rig) -> None:
    body = b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"
    for at in range(len(body)):
        client = wire.client().send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body[:at])
        server = wire.server()
        server.until(b"\r\n\r\n")
        client.reset()

        got = server.ending()[0]

        assert b"0\r\n" not in got
        wire.settle()


CUT = {
    "length": b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "interim": b"HTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("answer", CUT.values(), ids=CUT)
def test_a_response_that_ends_in_the_middle_never_looks_whole(
    wire: Rig, answer: bytes, how: str, version: bytes
) -> None:
    end = answer.index(b"\r\n\r\n", answer.index(b" 200 ")) + 4
    for at in range(len(answer)):
        client = wire.client().send(GET.replace(b"1.1", version))
        server = wire.server()
        server.message()
        server.send(answer[:at])
        if at >= end:
            client.until(b" 200 OK")
        (server.close if how == "fin" else server.reset)()

        if at < end:
            seen = client.until(b"\r\n\r\n")
            while seen.startswith(b"HTTP/1.1 103 "):
                seen = client.until(b"\r\n\r\n")
            assert seen.startswith(b"HTTP/1.1 502 ")
        else:
            assert client.ending()[1] == "reset"
        wire.settle()


def test_a_close_delimited_response_that_is_reset_never_looks_whole(wire: Rig) -> None:
    before = wire.rejections()["truncated"]
    for version in (b"1.0", b"1.1"):
        client = wire.client().send(GET.replace(b"1.1", version))
        server = wire.server()
        server.message()
        server.send(b"HTTP/1.1 200 OK\r\n\r\nhel")
        client.until(b"hel")

        server.reset()

        rest, ending = client.ending()
        assert ending == "reset"
        assert b"0\r\n" not in rest
    assert wire.rejections()["truncated"] == before + 2


def test_half_a_head_is_not_delivered_when_time_is_up(wire: Rig) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(b"HTTP/1.1 200 OK\r\nContent-")

    began = time.monotonic()
    answer = client.message()

    assert answer.status == 504
    assert time.monotonic() - began < 4
    assert server.ending()[0] == b""
