"""Several endpoints behind one destination, one of which dies under load, with the real command."""

import asyncio
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
import pytest

from tests.acceptance.test_outage import session_without_limit
from tests.cli.test_run import free_port
from tests.fakes.names import BlackHole
from tests.fakes.origin import Origin, replying, response

_DEPENDENCY = """
import asyncio, sys
name = sys.argv[2].encode()
async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\\r\\n\\r\\n"):
            await asyncio.sleep(0.01)  # so that some requests are under way whenever it dies
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\n" + name)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""


async def dependency(port: int, name: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _DEPENDENCY, str(port), name)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return process
    raise AssertionError("the dependency never came")


@asynccontextmanager
async def sidecar(ports: list[int]) -> AsyncIterator[tuple[str, str]]:
    own, admin = free_port(), free_port()
    upstreams = [word for port in ports for word in ("--upstream", f"payments=http://127.0.0.1:{port}")]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "run", *upstreams),
        *("--listen", f"127.0.0.1:{own}", "--admin", f"127.0.0.1:{admin}"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            until = time.monotonic() + 10
            while time.monotonic() < until:
                try:
                    async with session.get(f"http://127.0.0.1:{admin}/readyz") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{own}/", f"http://127.0.0.1:{admin}"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)


class Dead:
    """An endpoint that is dead in one of several ways, from the beginning."""

    def __init__(self, way: str) -> None:
        self.called = 0
        """How often anybody got through to it."""
        self._way = way
        self._writers: list[asyncio.StreamWriter] = []
        self._hole = BlackHole("127.0.0.1") if way == "drops what is sent to it" else None

    async def __aenter__(self) -> Self:
        if self._hole is not None:
            self.port = self._hole.port
            return self
        server = self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        if self._way == "refuses":
            server.close()
            await server.wait_closed()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._hole is not None:
            self._hole.close()
            return
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.called += 1
        self._writers.append(writer)
        if self._way == "hangs":
            return
        if self._way == "resets after the request":
            await reader.read(100)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


@pytest.mark.parametrize(
    "way",
    ["refuses", "hangs", "resets after accepting", "resets after the request", "drops what is sent to it"],
)
async def test_an_endpoint_that_was_dead_all_along_costs_no_failed_read(way: str) -> None:
    async with Origin(replying(response())) as one, Origin(replying(response())) as two, Dead(way) as dead:
        async with sidecar([one.port, dead.port, two.port]) as (url, admin), session_without_limit() as session:
            answers: list[tuple[int, str, float]] = []

            async def ask(method: str) -> None:
                began = time.monotonic()
                async with session.request(method, url, data=None if method == "GET" else b"twice is once") as answer:
                    answers.append((answer.status, await answer.text(), time.monotonic() - began))

            for _ in range(20):  # one after the other, with nothing in the budget but its floor
                await ask("GET")
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for number in range(200):
                    await asyncio.sleep(max(0.0, began + number / 200 - time.monotonic()))
                    group.create_task(ask("PUT" if number % 3 else "GET"))
            async with session.get(f"{admin}/destinations") as reply:
                counts = (await reply.json())["destinations"][0]

    assert [(status, body) for status, body, _ in answers] == [(200, "ok")] * 220
    assert min(len(one.requests), len(two.requests)) > 60
    assert 1 <= counts["attempts"] - counts["requests"] < 22 + 4  # a budget's worth: it is soon left alone
    assert sorted(took for _, _, took in answers)[200] < 0.5  # nine of ten never meet it
    assert dead.called < 30


async def test_one_dead_endpoint_of_three_costs_no_failed_read() -> None:
    ports = [free_port() for _ in range(3)]
    processes = [await dependency(port, name) for port, name in zip(ports, "abc", strict=True)]
    answers: list[tuple[float, int, str]] = []
    try:
        async with sidecar(ports) as (url, admin), session_without_limit() as session:

            async def ask() -> None:
                async with session.get(url) as answer:
                    answers.append((time.monotonic(), answer.status, await answer.text()))

            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for number in range(900):
                    await asyncio.sleep(max(0.0, began + number / 300 - time.monotonic()))
                    group.create_task(ask())
                    if number == 450:
                        processes[1].kill()
                        killed = time.monotonic()
            async with session.get(f"{admin}/destinations") as reply:
                counts = (await reply.json())["destinations"][0]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()

    assert [status for _, status, _ in answers] == [200] * 900
    before = [name for at, _, name in answers if at < killed]
    after = [name for at, _, name in answers if at > killed + 0.5]
    assert min(before.count(name) for name in "abc") > len(before) / 6
    assert set(after) == {"a", "c"}
    assert counts["attempts"] - counts["requests"] < 60  # those under way, and a few that found it gone
