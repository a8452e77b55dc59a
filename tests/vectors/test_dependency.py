"""The scripted dependency on a real socket, as a client sees it."""

import asyncio
import math

import pytest

from sidecar.vectors.case import VectorCase, load_cases
from sidecar.vectors.dependency import ScriptedDependency
from tests.fakes.waiting import turn

CASES = {case.name: case for case in load_cases()}


async def ask(port: int, path: str, *, fields: str = "") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n".encode())
    try:
        return (await reader.readuntil(b"{}")).partition(b"\r\n")[0]
    finally:
        writer.close()


def of(*names: str) -> list[VectorCase]:
    return [CASES[name] for name in names]


async def test_attempts_are_answered_by_the_script_and_the_last_answer_is_for_all_that_follow() -> None:
    async with ScriptedDependency(of("a_503_then_good")) as dependency:
        answers = [await ask(dependency.port, "/a_503_then_good/0") for _ in range(3)]

    assert [answer[9:12] for answer in answers] == [b"503", b"200", b"200"]


async def test_what_was_seen_is_written_down() -> None:
    async with ScriptedDependency(of("a_good_answer")) as dependency:
        await ask(dependency.port, "/a_good_answer/0", fields="Idempotency-Key: k\r\nx-retry-attempt: 2\r\n")

    (attempt,) = dependency.seen["/a_good_answer/0"]
    assert (attempt.key, attempt.number) == ("k", "2")
    assert attempt.began <= attempt.ended


async def test_a_reset_gives_no_answer() -> None:
    async with ScriptedDependency(of("a_lost_connection")) as dependency:
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ask(dependency.port, "/a_lost_connection/0")


async def test_a_hang_ends_with_its_client_and_not_before() -> None:
    async with ScriptedDependency(of("a_hang")) as dependency:
        reader, writer = await asyncio.open_connection("127.0.0.1", dependency.port)
        writer.write(b"GET /a_hang/0 HTTP/1.1\r\nHost: x\r\n\r\n")
        while not dependency.seen:
            await turn()
        writer.write_eof()

        assert await reader.read() == b""
        writer.close()

    assert dependency.seen["/a_hang/0"][0].ended == math.inf
