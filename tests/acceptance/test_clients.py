"""Real clients, unchanged but for their base URL or their proxy setting: curl, requests, aiohttp, httpx, Node, Java.

Each takes the same walk: a GET, a GET whose first attempt fails, a POST, a streamed upload, a streamed download and
server-sent events. The streamed ones pass a gate half-way: the second piece is sent only after the other end has the
first, so a proxy that holds a body back ends the walk instead of passing it.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import websockets
from aiohttp import web
from playwright._impl._driver import compute_driver_executable

from tests.acceptance.test_outage import Rig, sidecar
from tests.fakes.tools import tool

CLIENTS = Path(__file__).parent / "clients"
SECONDS = 15.0
WALK = {
    "hello": "hello",
    "flaky": "200 2",
    "echo": "amount=1",
    "upload": "onetwo",
    "download": "one|two",
    "events": "data: one|data: two",
}


@dataclass
class Service:
    """The other end of the walk. Its gates are asked for on its own port, not through the sidecar."""

    seen: list[web.Request] = field(default_factory=list)
    arrived: bytearray = field(default_factory=bytearray)
    opened: dict[str, asyncio.Event] = field(
        default_factory=lambda: {"download": asyncio.Event(), "events": asyncio.Event()}
    )
    port: int = 0

    async def hello(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        return web.Response(text="hello")

    async def flaky(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        return web.Response(status=200 if "x-retry-attempt" in request.headers else 503, text="flaky")

    async def echo(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        return web.Response(body=await request.read())

    async def upload(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        async for piece in request.content.iter_any():
            self.arrived += piece
        return web.Response(body=bytes(self.arrived))

    async def download(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 8
        return await self._stream(request, response, "download", b"one\n", b"two\n")

    async def events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        return await self._stream(request, response, "events", b"data: one\n", b"\ndata: two\n\n")

    async def open(self, request: web.Request) -> web.Response:
        self.opened[request.match_info["name"]].set()
        return web.Response(text="open")

    async def wait_for_bytes(self, request: web.Request) -> web.Response:
        async with asyncio.timeout(SECONDS):
            while len(self.arrived) < int(request.match_info["count"]):
                await asyncio.sleep(0.005)
        return web.Response(text="arrived")

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, name: str, first: bytes, second: bytes
    ) -> web.StreamResponse:
        self.seen.append(request)
        await response.prepare(request)
        await response.write(first)
        async with asyncio.timeout(SECONDS):
            await self.opened[name].wait()
        await response.write(second)
        return response

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/hello", self.hello),
                web.get("/flaky", self.flaky),
                web.post("/echo", self.echo),
                web.post("/upload", self.upload),
                web.get("/download", self.download),
                web.get("/events", self.events),
                web.get("/gates/open/{name}", self.open),
                web.get("/gates/arrived/{count}", self.wait_for_bytes),
            ]
        )
        return app


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    here = Service()
    runner = web.AppRunner(here.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    here.port = runner.addresses[0][1]
    try:
        yield here
    finally:
        await runner.cleanup()


def command(client: str, proxy_port: int | None) -> list[str]:
    """How this client's walk is started; without a proxy port it is told nothing of a proxy."""
    if client == "curl":
        tool("curl")
        return ["/bin/sh", str(CLIENTS / "curl.sh")]
    if client == "node":
        return [str(compute_driver_executable()[0]), str(CLIENTS / "fetch.mjs")]
    if client == "java":
        proxy = [] if proxy_port is None else ["-Dhttp.proxyHost=127.0.0.1", f"-Dhttp.proxyPort={proxy_port}"]
        return [str(tool("java")), "-XX:TieredStopAtLevel=1", *proxy, str(CLIENTS / "Walk.java")]
    return [sys.executable, str(CLIENTS / f"{client}_client.py")]


async def walk(client: str, base: str, gates: str, proxy_port: int | None) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    if proxy_port is not None:
        proxy = f"http://127.0.0.1:{proxy_port}"
        environment |= {"http_proxy": proxy, "HTTP_PROXY": proxy, "NODE_USE_ENV_PROXY": "1"}
        environment |= {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        *command(client, proxy_port),
        base,
        gates,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(4 * SECONDS):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return dict(json.loads(out))


async def count(rig: Rig, metric: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{rig.admin}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(metric))


@pytest.mark.parametrize("way", ["a destination's port", "HTTP_PROXY"])
@pytest.mark.parametrize("client", ["curl", "requests", "aiohttp", "httpx", "node", "java"])
async def test_a_real_client_takes_the_whole_walk_through(client: str, way: str, tmp_path: Path) -> None:
    async with service() as here, sidecar(tmp_path, here.port) as rig:
        own = way != "HTTP_PROXY"
        base = rig.url.rstrip("/") if own else "http://payments"

        took = await walk(client, base, f"http://127.0.0.1:{here.port}/gates", None if own else rig.egress)

        governed = await count(rig, 'sidecar_requests_total{destination="payments"')

    assert took == WALK
    assert governed == len(WALK)
    assert [request.path for request in here.seen].count("/flaky") == 2
    assert all("sidecar" in request.headers["Via"] for request in here.seen)


async def test_a_real_websocket_client_and_server_talk_through_in_both_directions(tmp_path: Path) -> None:
    async def shout(socket: websockets.ServerConnection) -> None:
        async for message in socket:
            await socket.send(message.upper() if isinstance(message, str) else message[::-1])

    async with websockets.serve(shout, "127.0.0.1", 0) as server:
        async with sidecar(tmp_path, server.sockets[0].getsockname()[1]) as rig:
            async with websockets.connect(rig.url.replace("http:", "ws:"), proxy=None) as socket:
                await socket.send("hello")
                text = await socket.recv()
                big = os.urandom(900_000)
                await socket.send(big)
                blob = await socket.recv()
                pong = await socket.ping()
                round_trip = await asyncio.wait_for(pong, SECONDS)
            code = socket.close_code

    assert text == "HELLO"
    assert blob == big[::-1]
    assert round_trip >= 0
    assert code == 1000


async def test_a_websocket_server_that_refuses_is_an_ordinary_response(tmp_path: Path) -> None:
    async def refuse(_: websockets.ServerConnection, __: websockets.Request) -> websockets.Response:
        return websockets.Response(403, "Forbidden", websockets.Headers({"Content-Length": "2"}), b"no")

    async with websockets.serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=refuse) as server:
        async with sidecar(tmp_path, server.sockets[0].getsockname()[1]) as rig:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(rig.url.replace("http:", "ws:"), proxy=None)

    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"no"
    assert refused.value.response.headers["x-sidecar-attempts"] == "1"
