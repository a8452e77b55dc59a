import asyncio

import pytest

from sidecar.demo.reading import SideReading, fetch, parse_destinations, read_destination

PAYMENTS = {
    "name": "payments",
    "breaker": {"state": "half_open"},
    "budget": {"balance": 4.5},
    "concurrency": {"limit": 20.0, "in_flight": 3},
    "amplification": {"last_10s": 1.04},
    "requests": 90,
    "attempts": 94,
    "refusals": {"breaker_open": 7, "deadline": 0},
}


def test_what_the_sidecar_tells_is_read() -> None:
    reading = parse_destinations({"destinations": [{"name": "other"}, PAYMENTS]}, "payments")

    assert reading == SideReading("half_open", 4.5, 20.0, 3, 1.04, 90, 94, {"breaker_open": 7})


def test_what_it_does_not_tell_is_not_made_up() -> None:
    reading = parse_destinations({"destinations": [{"name": "payments", "breaker": "closed"}]}, "payments")

    assert reading == SideReading()


@pytest.mark.parametrize("document", [None, [], {}, {"destinations": {}}, {"destinations": [None, {"name": "other"}]}])
def test_a_document_without_the_destination_is_no_reading(document: object) -> None:
    assert parse_destinations(document, "payments") is None


async def serve_once(answer: bytes) -> tuple[asyncio.Server, int]:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_the_body_is_read_to_the_end_of_the_connection() -> None:
    server, port = await serve_once(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100_000)

    async with server:
        status, body = await fetch(port, "/destinations")

    assert status == 200
    assert body == b"x" * 100_000


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.0 403 Forbidden\r\n\r\n{}", b"HTTP/1.0 200 OK\r\n\r\nnot json"],
    ids=["nothing", "a refusal", "no JSON"],
)
async def test_an_answer_that_is_no_use_is_no_reading(answer: bytes) -> None:
    server, port = await serve_once(answer)

    async with server:
        reading = await read_destination(port, "payments")

    assert reading is None


async def test_nobody_listening_is_no_reading() -> None:
    server, port = await serve_once(b"")
    server.close()

    reading = await read_destination(port, "payments")

    assert reading is None
