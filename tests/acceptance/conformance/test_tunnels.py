"""CONNECT, and protocols that are switched to: bytes both ways once it is granted, and nothing before."""

import json
import socket

import pytest

from tests.acceptance.conformance.rig import GET, OK, PATIENCE, Peer, Rig, free_port, wait_until

UPGRADE = (
    b"GET /x HTTP/1.1\r\nHost: payments\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n"
)


def connected(wire: Rig) -> tuple[Peer, Peer]:
    client = wire.client("host").send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x:1\r\n\r\n" % wire.upstream)
    server = wire.server()
    answer = client.head()
    assert answer.status == 200
    assert not answer.names & {"content-length", "transfer-encoding"}
    return client, server


def test_connect_joins_both_sides_byte_for_byte(wire: Rig) -> None:
    client, server = connected(wire)
    every = bytes(range(256)) * 500

    client.send(every)
    assert server.read(len(every)) == every
    server.send(every)
    assert client.read(len(every)) == every


def test_bytes_that_come_with_a_connect_are_the_tunnels(wire: Rig) -> None:
    client = wire.client("host").send(
        b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x:1\r\n\r\n\x16\x03\x01hello" % wire.upstream
    )
    server = wire.server()

    assert server.read(8) == b"\x16\x03\x01hello"
    assert client.head().status == 200


def test_a_request_in_a_tunnel_is_nobodys_request(wire: Rig) -> None:
    client, server = connected(wire)

    client.send(GET)

    assert server.read(len(GET)) == GET


@pytest.mark.parametrize("who", ["client", "server"])
def test_one_side_may_end_while_the_other_goes_on(wire: Rig, who: str) -> None:
    client, server = connected(wire)
    one, other = (client, server) if who == "client" else (server, client)

    one.finish()
    assert other.rest() == b""
    other.send(b"still here")

    assert one.read(10) == b"still here"
    other.close()
    assert one.rest() == b""


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_of_one_side_ends_the_other(wire: Rig, who: str) -> None:
    client, server = connected(wire)
    one, other = (client, server) if who == "client" else (server, client)

    one.reset()

    other.ending()


def test_a_tunnel_in_which_nothing_moves_is_ended(tight: Rig) -> None:
    client = tight.client().send(UPGRADE + b"\r\n")
    server = tight.server()
    server.message()
    server.send(SWITCHING)
    assert client.head().status == 101

    client.ending()
    server.ending()


def test_a_tunnel_in_which_something_moves_is_kept(tight: Rig) -> None:
    client = tight.client().send(UPGRADE + b"\r\n")
    server = tight.server()
    server.message()
    server.send(SWITCHING)
    assert client.head().status == 101

    for one, other in ((client, server), (server, client)) * 3:
        assert other.silent(0.15)  # of 300 ms
        one.send(b"x")
        assert other.read(1) == b"x"


@pytest.mark.parametrize("target", ["own", "egress", "shop"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_tunnel_never_leads_back_here(wire: Rig, target: str, host: str) -> None:
    client = wire.client("host").send(f"CONNECT {host}:{getattr(wire, target)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    assert client.message().status == 508


def test_a_tunnel_to_nowhere_is_a_502(wire: Rig) -> None:
    client = wire.client("host").send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % free_port())

    assert client.message().status == 502


@pytest.mark.parametrize("door", ["own", "host"])
def test_connect_is_refused_where_the_policy_says_so(tight: Rig, door: str) -> None:
    answer = tight.refused(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % tight.upstream + GET, door)

    assert answer.status == 405
    assert "GET" in (answer.get("allow") or "")
    assert tight.uncalled(0.01)


@pytest.mark.parametrize("door", ["own", "host", "absolute"])
def test_a_granted_upgrade_becomes_a_tunnel(wire: Rig, door: str) -> None:
    raw = UPGRADE + b"\r\n"
    client = wire.client(door).send(raw.replace(b" /", b" http://payments/") if door == "absolute" else raw)
    server = wire.server()
    request = server.message()
    assert (request.get("connection"), request.get("upgrade")) == ("upgrade", "websocket")
    assert request.get("sec-websocket-key") == "x"

    server.send(SWITCHING + b"\x81\x02hi")

    answer = client.head()
    assert (answer.status, answer.get("connection"), answer.get("upgrade")) == (101, "upgrade", "websocket")
    assert answer.get("sec-websocket-accept") == "y"
    assert client.read(4) == b"\x81\x02hi"
    client.send(GET)
    assert server.read(len(GET)) == GET
    server.send(OK)
    assert client.read(len(OK)) == OK
    server.close()
    assert client.rest() == b""


def test_bytes_pipelined_behind_an_upgrade_are_the_tunnels_if_it_is_granted(wire: Rig) -> None:
    client = wire.client().send(UPGRADE + b"\r\n\x81\x00early")
    server = wire.server()
    server.message()
    assert server.silent()

    server.send(SWITCHING)

    assert server.read(7) == b"\x81\x00early"
    assert client.head().status == 101


def test_bytes_pipelined_behind_an_upgrade_are_a_request_if_it_is_not(wire: Rig) -> None:
    client = wire.client().send(UPGRADE + b"\r\n" + GET)
    server = wire.server()
    server.message()
    server.send(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 12\r\nContent-Length: 0\r\n\r\n")
    assert client.message().status == 426

    assert server.message().line == "GET /x HTTP/1.1"
    server.send(OK)
    assert client.message().body == b"ok"


@pytest.mark.parametrize("status", [b"200 OK", b"403 No", b"503 Busy"])
def test_any_other_answer_to_an_upgrade_is_an_ordinary_one(wire: Rig, status: bytes) -> None:
    client = wire.client().send(UPGRADE + b"\r\n")
    server = wire.server()
    server.message()
    server.send(b"HTTP/1.1 " + status + b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nok")

    answer = client.message()

    assert (answer.status, answer.body, answer.get("upgrade")) == (int(status[:3]), b"ok", None)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 S\r\n\r\n",
        b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
    ],
)
def test_a_101_to_something_else_is_a_fault(wire: Rig, answer: bytes) -> None:
    client = wire.client().send(UPGRADE + b"\r\n")
    server = wire.server()
    server.message()
    server.send(answer)

    assert client.message().status == 502
    assert server.ending()[0] == b""


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (b"Content-Length: 5\r\n", "content_length"),
        (b"Transfer-Encoding: chunked\r\n", "transfer_encoding"),
        (b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "transfer_encoding"),
    ],
)
def test_a_101_that_announces_a_body_is_a_fault(wire: Rig, field: bytes, reason: str) -> None:
    before = wire.rejections()
    client = wire.client().send(UPGRADE + b"\r\n")
    server = wire.server()
    server.message()
    server.send(SWITCHING[:-2] + field + b"\r\n5\r\nhello\r\n0\r\n\r\n")

    answer = client.message()

    assert (answer.status, json.loads(answer.body)["reason"]) == (502, "protocol")
    assert server.ending()[0] == b""
    after = wire.rejections()
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {reason: 1}


def test_a_101_whose_body_has_no_length_is_a_tunnel_and_says_nothing_of_it(wire: Rig) -> None:
    client = wire.client().send(UPGRADE + b"\r\n")
    server = wire.server()
    server.message()
    server.send(SWITCHING[:-2] + b"Content-Length: 0\r\n\r\nhello")

    head = client.head()

    assert (head.status, head.get("content-length")) == (101, None)
    assert client.read(5) == b"hello"


@pytest.mark.parametrize(
    "raw",
    [
        UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n",
        UPGRADE.replace(b"Connection: Upgrade\r\n", b"") + b"\r\n",
        UPGRADE + b"Content-Length: 2\r\n\r\nhi",
        UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ],
    ids=["HTTP/1.0", "not named by Connection", "with a body", "with a chunked body"],
)
def test_an_upgrade_that_can_not_be_is_not_asked_for(wire: Rig, raw: bytes) -> None:
    forwarded = wire.forwarded(raw)

    assert not forwarded.names & {"connection", "upgrade"}


def test_an_upgraded_connection_serves_nobody_else(wire: Rig) -> None:
    client = wire.client().send(UPGRADE + b"\r\n")
    server = wire.server()
    server.message()
    server.send(SWITCHING)
    client.head()

    other = wire.client().send(GET)

    another = wire.server()
    another.message()
    another.send(OK)
    assert other.message().body == b"ok"


def test_a_slow_side_holds_the_other_back(wire: Rig) -> None:
    client, server = connected(wire)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    client.sock.settimeout(0.3)
    sent = 0
    try:
        while sent < 64 << 20:
            sent += client.sock.send(b"x" * 65536)
    except TimeoutError:
        pass
    client.sock.settimeout(PATIENCE)

    assert sent < 32 << 20
    assert len(server.read(sent)) == sent


def test_a_client_that_leaves_while_its_tunnel_opens_leaves_nothing_behind(wire: Rig) -> None:
    before = wire.metric("sidecar_downstream_connections")
    client = wire.client("host").send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % wire.upstream)
    client.reset()

    wire.server().ending()
    wait_until(lambda: wire.metric("sidecar_downstream_connections") <= before)
