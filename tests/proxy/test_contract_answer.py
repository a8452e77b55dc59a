"""`GET /.well-known/idempotency`: answered by the sidecar, whatever comes with the question."""

import asyncio
import json

from tests.fakes.house import house
from tests.fakes.key_gates import key_gate
from tests.fakes.origin import Origin, replying, response

ASKED = b"%b /.well-known/idempotency HTTP/1.1\r\nHost: a\r\n"


async def test_the_contract_is_answered_without_the_service() -> None:
    async with Origin(replying(response(404))) as origin, house([origin.port], ingress=True) as proxy:
        proxy.route.gate = key_gate()
        answer = await proxy.send(ASKED % b"GET" + b"\r\n")

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    assert json.loads(body)["routes"][0]["name"] == "pay"
    assert origin.requests == []


async def test_a_head_gets_its_length_and_no_body() -> None:
    async with Origin(replying(response(404))) as origin, house([origin.port], ingress=True) as proxy:
        proxy.route.gate = key_gate()
        answer = await proxy.send(ASKED % b"HEAD" + b"Connection: close\r\n\r\n", until_close=True)

    assert b"Content-Length: " in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_body_that_comes_with_it_is_read_over() -> None:
    async with Origin(replying(response(404))) as origin, house([origin.port], ingress=True) as proxy:
        proxy.route.gate = key_gate()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.own.address.port)
        for piece in (ASKED % b"GET" + b"Content-Length: 4\r\n\r\n", b"ab", b"cd"):
            writer.write(piece)
            await asyncio.sleep(0.02)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_without_a_gate_the_service_is_asked() -> None:
    async with Origin(replying(response(404))) as origin, house([origin.port], ingress=True) as proxy:
        answer = await proxy.send(ASKED % b"GET" + b"\r\n")

    assert answer.startswith(b"HTTP/1.1 404 ")
