"""A client that drips its upload keeps its own time only: no probe and no slot of the others waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.fakes.origin import Origin, Request, response
from tests.fakes.running import Running, running

DRIP_SECONDS = 0.2


class Answers:
    """Answers with `status`, each request once its body is there."""

    def __init__(self, status: int) -> None:
        self.status = status

    async def __call__(self, _: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(response(self.status, b"ok"))


@asynccontextmanager
async def dripping(sidecar: Running, count: int) -> AsyncIterator[None]:
    """So many clients that send a byte of their upload now and then, until the end of the block."""

    async def drip() -> None:
        address = urlsplit(sidecar.url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(b"PUT /up HTTP/1.1\r\nHost: payments\r\nContent-Length: 100000\r\n\r\n")
            while True:
                writer.write(b"x")
                await asyncio.sleep(DRIP_SECONDS)
        finally:
            writer.close()

    clients = [asyncio.create_task(drip()) for _ in range(count)]
    await asyncio.sleep(2 * DRIP_SECONDS)  # all of them are under way
    try:
        yield
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def get(session: aiohttp.ClientSession, sidecar: Running) -> int:
    async with session.get(f"{sidecar.url}/x") as got:
        return got.status


async def test_slow_uploads_do_not_take_the_slots_of_others(tmp_path: Path) -> None:
    limit = {"defaults": {"concurrency": {"limit": "fixed", "initial": 4, "max_in_flight": 4}, "timeout": "8s"}}

    async with Origin(Answers(200)) as origin:
        destinations = {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}}
        with running(tmp_path, destinations, limit) as sidecar:
            async with dripping(sidecar, 4), aiohttp.ClientSession() as session:
                statuses = [await get(session, sidecar) for _ in range(10)]

    assert statuses == [200] * 10


async def test_a_slow_upload_as_the_breakers_probe_locks_nobody_out(tmp_path: Path) -> None:
    answers = Answers(503)

    async with Origin(answers) as origin:
        destinations = {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}}
        with running(tmp_path, destinations) as sidecar:
            async with aiohttp.ClientSession() as session:
                for _ in range(12):
                    await get(session, sidecar)
                assert 'sidecar_breaker_state{destination="payments",state="closed"} 0' in await asyncio.to_thread(
                    sidecar.get, "/metrics"
                )
                answers.status = 200
                async with dripping(sidecar, 1):
                    statuses = []
                    async with asyncio.timeout(10):
                        while 200 not in statuses:
                            statuses.append(await get(session, sidecar))
                    after = [await get(session, sidecar) for _ in range(5)]

    assert after == [200] * 5


@pytest.mark.parametrize("body", [b"zz\r\n", b"5\r\nab"])
async def test_a_slot_that_a_bad_upload_frees_is_the_next_ones(tmp_path: Path, body: bytes) -> None:
    limit = {"defaults": {"concurrency": {"limit": "fixed", "initial": 1, "min_in_flight": 1, "max_in_flight": 1}}}

    async with Origin(Answers(200)) as origin:
        destinations = {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}}
        with running(tmp_path, destinations, limit) as sidecar:
            address = urlsplit(sidecar.url)
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(b"PUT /up HTTP/1.1\r\nHost: payments\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            await asyncio.sleep(DRIP_SECONDS)  # it has the slot
            async with aiohttp.ClientSession() as session:
                waiting = asyncio.create_task(get(session, sidecar))
                await asyncio.sleep(DRIP_SECONDS)
                writer.write(body)
                writer.close()
                async with asyncio.timeout(0.7):  # UPLOAD_SLOT_SECONDS would free it after a second
                    status = await waiting

    assert status == 200
