"""1xx: passed on to who can understand it, never the end of an exchange; Expect: 100-continue from end to end."""

import time

import pytest

from tests.acceptance.conformance.rig import GET, OK, Rig

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTING = b"POST /x HTTP/1.1\r\nHost: payments\r\nExpect: 100-continue\r\n"
LENGTH = b"Content-Length: 5\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("door", ["own", "host", "absolute"])
@pytest.mark.parametrize(
    ("framing", "body"), [(LENGTH, b"hello"), (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n")], ids=["length", "chunked"]
)
def test_a_client_that_waits_gets_the_servers_100_and_then_the_answer(
    wire: Rig, framing: bytes, body: bytes, door: str
) -> None:
    raw = EXPECTING + framing
    client = wire.client(door).send(raw.replace(b" /", b" http://payments/") if door == "absolute" else raw)
    server = wire.server()
    head = server.head()
    assert head.get("expect") == "100-continue"
    assert client.silent()  # nobody but the server may ask for the body
    server.send(CONTINUE)
    assert client.head().line == "HTTP/1.1 100 Continue"
    client.send(body)
    assert server.read(len(body)).startswith(body[:5])
    server.send(OK)

    answer = client.message()
    assert (answer.status, answer.body, answer.get("connection")) == (200, b"ok", None)


def test_the_connection_goes_on_after_100_and_answer(wire: Rig) -> None:
    client = wire.client()
    server = None
    for _ in range(3):
        client.send(EXPECTING + LENGTH)
        server = server or wire.server()
        server.head()
        server.send(CONTINUE)
        client.head()
        client.send(b"hello")
        server.read(5)
        server.send(OK)
        assert client.message().body == b"ok"


@pytest.mark.parametrize("status", [b"417 Expectation Failed", b"401 Unauthorized", b"413 Too Large", b"200 OK"])
def test_a_final_answer_instead_of_100_is_delivered_and_ends_both_connections(wire: Rig, status: bytes) -> None:
    client = wire.client().send(EXPECTING + LENGTH)
    server = wire.server()
    server.head()
    server.send(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nno" % status)

    answer = client.message()

    assert (answer.status, answer.body, answer.get("connection")) == (int(status[:3]), b"no", "close")
    assert client.rest() == b""
    assert server.ending()[0] == b""


def test_a_server_that_never_says_100_gets_the_body_when_the_client_stops_waiting(wire: Rig) -> None:
    client = wire.client().send(EXPECTING + LENGTH)
    server = wire.server()
    server.head()
    assert client.silent(0.2)

    client.send(b"hello")

    assert server.read(5) == b"hello"
    server.send(OK)
    assert client.message().body == b"ok"


def test_a_client_that_does_not_wait_gets_its_answer_too(wire: Rig) -> None:
    client = wire.client().send(EXPECTING + LENGTH + b"hello")
    server = wire.server()
    assert server.message().body == b"hello"
    server.send(OK)

    assert client.message().body == b"ok"


def test_a_100_that_comes_after_the_body_is_passed_on_too(wire: Rig) -> None:
    client = wire.client().send(EXPECTING + LENGTH + b"hello")
    server = wire.server()
    server.message()
    server.send(CONTINUE + OK)

    assert [client.head().status, client.message().status] == [100, 200]


def test_a_100_that_nobody_asked_for_is_passed_on_for_a_proxy_has_no_say_in_it(wire: Rig) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(CONTINUE + CONTINUE + OK)

    assert [client.head().status, client.head().status, client.message().status] == [100, 100, 200]


def test_an_old_client_is_never_told_to_continue(wire: Rig) -> None:
    client = wire.client().send(EXPECTING.replace(b"1.1", b"1.0") + LENGTH + b"hello")
    server = wire.server()
    assert server.message().get("expect") is None
    server.send(CONTINUE + HINTS + OK)

    assert client.rest().startswith(b"HTTP/1.1 200 ")


def test_a_client_that_waits_for_ever_is_let_go(tight: Rig) -> None:
    client = tight.client().send(EXPECTING + LENGTH)
    tight.server().head()

    assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_early_hints_are_passed_on_at_once_and_as_they_are(wire: Rig) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(HINTS)

    assert client.head().raw == HINTS
    server.send(OK)
    assert client.message().body == b"ok"


@pytest.mark.parametrize("together", [True, False])
def test_several_interim_answers_are_passed_on_in_order(wire: Rig, together: bool) -> None:
    interim = [b"HTTP/1.1 %d Interim\r\nX: %d\r\n\r\n" % (status, status) for status in (102, 103, 103, 110, 199)]
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    for part in [b"".join([*interim, OK])] if together else [*interim, OK]:
        server.send(part)

    assert [client.head().raw for _ in interim] == interim
    assert client.message().body == b"ok"
    client.send(GET)
    server.message()
    server.send(OK)
    assert client.message().body == b"ok"


@pytest.mark.parametrize(
    "fields", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"]
)
def test_an_interim_answer_has_no_body_and_ends_nothing_whatever_it_says(wire: Rig, fields: bytes) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(b"HTTP/1.1 103 E\r\n" + fields + b"X: y\r\n\r\n" + OK)

    assert client.head().fields == [("X", "y")]
    assert client.message().body == b"ok"
    client.send(GET)
    server.message()
    server.send(OK)
    assert client.message().body == b"ok"


def test_hop_by_hop_fields_of_an_interim_answer_stay_behind(wire: Rig) -> None:
    client = wire.client().send(GET)
    server = wire.server()
    server.message()
    server.send(b"HTTP/1.1 103 E\r\nConnection: x-a\r\nX-A: 1\r\nX-Sidecar-Attempts: 7\r\nX-B: 1\r\n\r\n" + OK)

    assert client.head().fields == [("X-B", "1")]


def test_an_interim_answer_to_head_is_passed_on(wire: Rig) -> None:
    client = wire.client().send(GET.replace(b"GET", b"HEAD"))
    server = wire.server()
    server.message()
    server.send(HINTS + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")

    assert client.head().status == 103
    assert client.message(to_head=True).get("content-length") == "5"


def test_interim_answers_without_end_do_not_stop_the_clock(tight: Rig) -> None:
    client = tight.client().send(GET)
    server = tight.server()
    server.message()
    began = time.monotonic()
    statuses = set()
    while 504 not in statuses:
        if client.silent(0.02):
            server.send(b"HTTP/1.1 102 P\r\n\r\n")
        statuses.add(client.head().status)

    assert statuses == {102, 504}
    assert time.monotonic() - began < 1.5


def test_each_attempt_may_ask_for_the_body(wire: Rig) -> None:
    client = wire.client("shop").send(EXPECTING.replace(b"POST", b"PUT") + LENGTH)
    server = wire.server()
    server.head()
    server.send(CONTINUE)
    assert client.head().status == 100
    client.send(b"hello")
    server.read(5)
    server.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    assert server.message().body == b"hello"
    server.send(CONTINUE + OK)

    answer = client.message()
    assert (answer.status, answer.get("x-sidecar-attempts")) == (200, "2")
