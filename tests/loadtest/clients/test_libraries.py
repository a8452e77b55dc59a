"""Each library does what the comparison says of it: how often a GET and a POST are sent, and what comes of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from loadtest.clients.libraries import LIBRARIES
from loadtest.storm.client import Client, Doors
from loadtest.storm.scenario import scenarios
from loadtest.storm.witness import ID_HEADER
from tests.fakes.waiting import turn

SCENARIO = replace(scenarios()["hang"], timeout=2.0, per_try=0.3)
RETRIES_EVERYTHING = ("tenacity", "stamina", "aws-standard")
NO_RETRIES = ("none", "httpx")
RETRIES_READS = tuple(name for name in LIBRARIES if name not in (*RETRIES_EVERYTHING, *NO_RETRIES))


class Server:
    """Answers the first attempt of each request with 503 and the others with 200; None: no answer to the first."""

    def __init__(self) -> None:
        self.port = 0
        self.first: int | None = 503
        self.attempts: Counter[int] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                await reader.readexactly(int(fields.get("content-length", 0)))
                number = int(fields[ID_HEADER])
                self.attempts[number] += 1
                status = self.first if self.attempts[number] == 1 else 200
                if status is not None:
                    body = b'{"balance":"10.00"}'
                    length = f"content-type: application/json\r\ncontent-length: {len(body)}"
                    writer.write(f"HTTP/1.1 {status} Word\r\n{length}\r\n\r\n".encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()
    await turn()


def client_of(name: str, server: Server) -> Client:
    return LIBRARIES[name].start()(SCENARIO, server.port, Doors([[server.port]], 1))


async def end(client: Client) -> None:
    """Close what the comparison leaves to the end of its process."""
    for part in (getattr(client, "client", None), getattr(client, "_session", None)):
        if part is not None:
            await (part.aclose() if hasattr(part, "aclose") else part.close())
    if (doors := getattr(client, "doors", None)) is not None:
        doors.close()
    if (pool := getattr(client, "pool", None)) is not None:
        pool.shutdown()


@pytest.mark.parametrize("name", LIBRARIES)
async def test_a_read_that_is_answered_503_is_tried_again_by_all_that_retry(name: str, server: Server) -> None:
    client = client_of(name, server)

    status = await client.get_answer(1, 0, post=False)

    await end(client)
    expected = (503, 1) if name in NO_RETRIES else (200, 2)
    assert (status, server.attempts[1]) == expected


@pytest.mark.parametrize("name", LIBRARIES)
async def test_a_write_that_is_answered_503_is_tried_again_by_those_that_know_no_methods(
    name: str, server: Server
) -> None:
    client = client_of(name, server)

    status = await client.get_answer(1, 0, post=True)

    await end(client)
    assert (status, server.attempts[1]) == ((200, 2) if name in RETRIES_EVERYTHING else (503, 1))


@pytest.mark.parametrize("name", RETRIES_EVERYTHING)
async def test_a_write_that_is_not_answered_in_time_is_sent_twice_by_those_that_know_no_methods(
    name: str, server: Server
) -> None:
    server.first = None
    client = client_of(name, server)

    status = await client.get_answer(1, 0, post=True)

    await end(client)
    assert (status, server.attempts[1]) == (200, 2)


def test_every_library_names_the_version_that_is_installed() -> None:
    assert all(library.version()[0].isdigit() for library in LIBRARIES.values())
