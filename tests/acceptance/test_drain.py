"""SIGTERM, with real processes: under load in a rolling restart, and in the middle of whatever may be under way."""

import asyncio
import json
import signal
import urllib.error
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
import websockets

from tests.acceptance.generations import free_port, starting, write_file
from tests.fakes.callers import HostPort, calling
from tests.fakes.origin import Origin, Request, hanging, response

MEGABYTE = 1 << 20


async def ready(admin: str) -> bool:
    """What the kubelet asks."""

    def ask() -> bool:
        try:
            with urllib.request.urlopen(f"{admin}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    return await asyncio.to_thread(ask)


class Pod:
    """An application with a sidecar on its way in and on its way out; each of its answers needs two calls out."""

    def __init__(self, folder: Path, dependency: Origin) -> None:
        folder.mkdir()
        self.folder = folder
        self.dependency = dependency
        self.app = Origin(self._answer)
        self.failures: list[str] = []
        self.starts = 0
        self.ready = False

    async def _answer(self, _: Request, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            async with self.client.post(f"http://127.0.0.1:{self.egress}/", data=b"x") as got:
                if got.status != 200:
                    self.failures.append(f"egress: {got.status}")
            await asyncio.sleep(0.005)
        writer.write(response(200))

    async def prepare(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self.app)
        self.client = await stack.enter_async_context(aiohttp.ClientSession())
        self.file, self.egress, self.ingress = write_file(
            self.folder,
            self.dependency,
            ingress={"listen": f"127.0.0.1:{free_port()}", "app": f"http://127.0.0.1:{self.app.port}"},
            minimum_drain="1s",
        )
        self.ingress = int(json.loads(self.file.read_text())["ingress"]["listen"].partition(":")[2])

    async def start(self, stack: AsyncExitStack) -> None:
        self.starts += 1
        self.generation = await stack.enter_async_context(starting(self.file, name=f"log{self.starts}"))

    async def restart(self, stack: AsyncExitStack) -> int:
        self.generation.process.send_signal(signal.SIGTERM)
        code = await self.generation.ended()
        await self.start(stack)
        return code


async def test_a_rolling_restart_under_load_fails_no_request_on_the_way_in_or_out(tmp_path: Path) -> None:
    async def soon(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.002)
        writer.write(response(200))

    async with Origin(soon) as dependency, AsyncExitStack() as stack:
        pods = [Pod(tmp_path / name, dependency) for name in ("a", "b")]
        for pod in pods:
            await pod.prepare(stack)
            await pod.start(stack)
            pod.ready = True

        async def watch() -> None:
            while True:  # the readiness of each pod, seen with some delay, as by the endpoints of a Service
                for pod in pods:
                    pod.ready = await ready(pod.generation.lines("start")[0]["admin"])
                await asyncio.sleep(0.1)

        def endpoints() -> list[HostPort]:
            return [("127.0.0.1", pod.ingress) for pod in pods if pod.ready]

        watching = asyncio.create_task(watch())
        codes = []
        async with calling(endpoints, count=8) as callers:
            for pod in pods:
                await callers.until(100)
                codes.append(await pod.restart(stack))
                while not pod.ready:
                    await asyncio.sleep(0.02)
            await callers.until(100)
        watching.cancel()
        for pod in pods:
            pod.generation.process.send_signal(signal.SIGTERM)
            codes.append(await pod.generation.ended())

    assert callers.failures == []
    assert [pod.failures for pod in pods] == [[], []]
    assert codes == [0] * 4


async def until_asked(origin: Origin) -> None:
    while not origin.requests:
        await asyncio.sleep(0.01)


async def test_a_request_in_back_off_gets_the_answer_it_has(tmp_path: Path) -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(response(503, b"busy", "Retry-After: 1"))

    async with Origin(answer) as origin:
        file, egress, _ = write_file(tmp_path, origin)
        async with starting(file) as sidecar, aiohttp.ClientSession() as client:
            asked = asyncio.create_task(client.get(f"http://127.0.0.1:{egress}/"))
            await until_asked(origin)
            await asyncio.sleep(0.2)
            sidecar.process.send_signal(signal.SIGTERM)
            got = await asked
            body = await got.read()
            code = await sidecar.ended()

    assert (got.status, body) == (503, b"busy")
    assert got.headers["x-sidecar-refusal"] == "draining"
    assert got.headers["Connection"] == "close"
    assert len(origin.requests) == 1
    assert code == 0


async def test_a_large_download_is_finished_and_others_are_served_meanwhile(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if "/large" not in request.line:
            writer.write(response(200))
            return
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {100 * MEGABYTE}\r\n\r\n".encode())
        for number in range(100):
            writer.write(b"x" * MEGABYTE)
            await writer.drain()
            if number == 10:
                await go_on.wait()

    async with Origin(answer) as origin:
        file, egress, _ = write_file(tmp_path, origin)
        async with starting(file) as sidecar, aiohttp.ClientSession() as client:
            admin = sidecar.lines("start")[0]["admin"]
            large = await client.get(f"http://127.0.0.1:{egress}/large")
            received = len(await large.content.readexactly(MEGABYTE))
            sidecar.process.send_signal(signal.SIGTERM)
            while await ready(admin):
                await asyncio.sleep(0.02)
            async with client.post(f"http://127.0.0.1:{egress}/small", data=b"x") as small:
                told = small.status, small.headers["Connection"]
            go_on.set()
            async for piece in large.content.iter_any():
                received += len(piece)
            code = await sidecar.ended()

    assert told == (200, "close")
    assert received == 100 * MEGABYTE
    assert code == 0
    assert sidecar.lines("stop")[0]["abandoned"] == 0


async def test_a_websocket_goes_on_until_the_drain_is_over_and_is_closed_then(tmp_path: Path) -> None:
    ends: list[str] = []

    async def shout(connection: websockets.ServerConnection) -> None:
        try:
            async for message in connection:
                await connection.send(str(message).upper())
        finally:
            ends.append("server")

    async with websockets.serve(shout, "127.0.0.1", 0) as server:
        origin = Origin(hanging)
        origin.port = server.sockets[0].getsockname()[1]
        file, egress, _ = write_file(tmp_path, origin, drain="1500ms")
        async with starting(file) as sidecar:
            async with websockets.connect(f"ws://127.0.0.1:{egress}/", proxy=None) as client:
                await client.send("before")
                before = await client.recv()
                sidecar.process.send_signal(signal.SIGTERM)
                while not sidecar.lines("drain"):
                    await asyncio.sleep(0.02)
                await client.send("during")
                during = await client.recv()
                with pytest.raises(websockets.ConnectionClosed):
                    await asyncio.wait_for(client.recv(), 15)
            code = await sidecar.ended()

    assert (before, during) == ("BEFORE", "DURING")
    assert ends == ["server"]
    assert code == 0


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with Origin(hanging) as origin:
        file, egress, _ = write_file(tmp_path, origin, drain="10m")
        async with starting(file) as sidecar, aiohttp.ClientSession() as client:
            asked = asyncio.create_task(client.post(f"http://127.0.0.1:{egress}/", data=b"x"))
            await until_asked(origin)
            sidecar.process.send_signal(signal.SIGTERM)
            while not sidecar.lines("drain"):
                await asyncio.sleep(0.02)
            sidecar.process.send_signal(signal.SIGTERM)
            code = await sidecar.ended()
            with pytest.raises(aiohttp.ClientError):
                await asked

    assert code == 0
    assert sidecar.lines("stop")[0]["abandoned"] == 1
