"""Pipelined requests are answered in order, one exchange at a time, whatever they are and however they are cut."""

import asyncio
import contextlib

import pytest

from tests.acceptance.conformance.rig import GET, OK, Rig


def get(number: int) -> bytes:
    return b"GET /%d HTTP/1.1\r\nHost: payments\r\n\r\n" % number


def post(number: int) -> bytes:
    return b"POST /%d HTTP/1.1\r\nHost: payments\r\nContent-Length: 5\r\n\r\nhello" % number


def chunked(number: int) -> bytes:
    return b"PUT /%d HTTP/1.1\r\nHost: payments\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % number


def answer_all(server: object, count: int) -> list[str]:
    lines = []
    for number in range(count):
        request = server.message()  # type: ignore[attr-defined]
        lines.append(request.line)
        assert request.content in {b"", b"hello"}
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % (number % 10))  # type: ignore[attr-defined]
    return lines


@pytest.mark.parametrize("size", [1, 7, 50, 100_000])
def test_they_are_answered_in_order(wire: Rig, size: int) -> None:
    raw = get(0) + post(1) + get(2) + chunked(3) + post(4) + get(5)
    client = wire.client()
    for at in range(0, len(raw), size):
        client.send(raw[at : at + size])

    lines = answer_all(wire.server(), 6)

    assert [line.split()[1] for line in lines] == [f"/{number}" for number in range(6)]
    assert [client.message().body for _ in range(6)] == [b"%d" % number for number in range(6)]


@pytest.mark.parametrize("make", [post, chunked])
@pytest.mark.parametrize("cut", [1, 30, -20, -8, -1])
def test_a_body_that_comes_while_another_answer_is_awaited_is_read_to_its_end(
    wire: Rig, make: object, cut: int
) -> None:
    second = make(1)  # type: ignore[operator]
    client = wire.client().send(get(0))
    server = wire.server()
    server.message()
    client.send(second[:cut])
    assert server.silent()
    server.send(OK)
    assert client.message().body == b"ok"

    client.send(second[cut:])

    assert server.message().content == b"hello"
    server.send(OK)
    assert client.message().body == b"ok"


def test_the_next_is_not_sent_before_the_last_is_answered(wire: Rig) -> None:
    client = wire.client().send(get(0) + get(1))
    server = wire.server()
    server.message()

    assert server.silent()
    assert wire.uncalled(0.01)
    server.send(OK)
    server.message()
    server.send(OK)
    assert client.message().body == client.message().body == b"ok"


def test_what_follows_a_request_that_ends_the_connection_is_not_read(wire: Rig) -> None:
    client = wire.client().send(b"GET /0 HTTP/1.1\r\nHost: payments\r\nConnection: close\r\n\r\n" + get(1))
    server = wire.server()
    server.message()
    server.send(OK)

    assert client.rest().count(b"HTTP/1.1") == 1
    assert server.silent()
    assert wire.uncalled(0.01)


def test_hundreds_at_once_are_answered_in_order(wire: Rig) -> None:
    client = wire.client().send(b"".join(map(get, range(300))))

    lines = answer_all(wire.server(), 300)

    assert [line.split()[1] for line in lines] == [f"/{number}" for number in range(300)]
    assert b"".join(client.message().body for _ in range(300)) == b"0123456789" * 30


def test_a_head_amid_others_takes_no_body(wire: Rig) -> None:
    client = wire.client().send(get(0) + b"HEAD /1 HTTP/1.1\r\nHost: payments\r\n\r\n" + get(2))
    server = wire.server()
    for head in (False, True, False):
        server.message()
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if head else b"ok"))

    assert client.message().body == b"ok"
    assert client.message(to_head=True).get("content-length") == "2"
    assert client.message().body == b"ok"


def test_a_server_that_fails_in_between_costs_one_answer_only(wire: Rig) -> None:
    client = wire.client().send(get(0) + post(1) + get(2))
    first = wire.server()
    first.message()
    first.send(OK)
    assert client.message().status == 200
    first.message()
    first.send(b"nonsense\r\n\r\n")
    assert client.message().status == 502
    second = wire.server()
    assert second.message().line.startswith("GET /2 ")
    second.send(OK)

    assert client.message().body == b"ok"


def test_a_misdirected_request_does_not_break_the_row(wire: Rig) -> None:
    client = wire.client("host").send(get(0) + GET.replace(b"payments", b"nobody") + get(2))
    server = wire.server()
    server.message()
    server.send(OK)
    server.message()
    server.send(OK)

    assert [client.message().status for _ in range(3)] == [200, 502, 200]


async def test_uploads_amid_a_row_are_read_in_their_order_however_their_bytes_come(wire: Rig) -> None:
    size = 70_000  # more than is read at once, so that its rest comes while the answer before it ends
    rounds = 60

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line = head.partition(b" HTTP/")[0]
                if line.startswith(b"PUT"):
                    body = await reader.readexactly(size)
                    line += b" whole" if body == line[-1:] * size else b" mixed up"
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(line), line))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def call(number: int) -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.own)
        get = b"GET /%d HTTP/1.1\r\nHost: payments\r\n\r\n" % number
        put = b"PUT /%d HTTP/1.1\r\nHost: payments\r\nContent-Length: %d\r\n\r\n" % (number, size)
        writer.write((get + put + b"%d" % number * size) * rounds)
        answers = []
        with contextlib.suppress(asyncio.IncompleteReadError):
            for _ in range(2 * rounds):
                head = await reader.readuntil(b"\r\n\r\n")
                answers.append(await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])))
        writer.close()
        return answers

    async with await asyncio.start_server(serve, sock=wire.lend()):
        rows = await asyncio.wait_for(asyncio.gather(*map(call, range(8))), 30)
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
    await asyncio.sleep(0)  # a turn in which the transports are closed

    assert rows == [[b"GET /%d" % number, b"PUT /%d whole" % number] * rounds for number in range(8)]
