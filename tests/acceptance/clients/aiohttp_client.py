"""The walk with aiohttp, which reads HTTP_PROXY when it is told to trust the environment."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import aiohttp

base, gates = sys.argv[1:]


async def main() -> None:
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(trust_env=True, timeout=timeout) as session, aiohttp.ClientSession() as direct:

        async def text(method: str, path: str, content: object = None) -> str:
            async with session.request(method, f"{base}/{path}", data=content) as answer:
                return await answer.text()

        async def pass_gate(path: str) -> None:
            async with direct.get(f"{gates}/{path}") as answer:
                answer.raise_for_status()

        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            await pass_gate("arrived/3")
            yield b"two"

        async def gated(name: str) -> str:
            async with session.get(f"{base}/{name}") as answer:
                first = await answer.content.readline()
                await pass_gate(f"open/{name}")
                return f"{first.decode().rstrip()}|{(await answer.text()).replace(chr(10), '')}"

        async with session.get(f"{base}/flaky") as answer:
            flaky = f"{answer.status} {answer.headers['x-sidecar-attempts']}"
        walk = {
            "hello": await text("GET", "hello"),
            "flaky": flaky,
            "echo": await text("POST", "echo", b"amount=1"),
            "upload": await text("POST", "upload", pieces()),
            "download": await gated("download"),
            "events": await gated("events"),
        }
        sys.stdout.write(json.dumps(walk))


asyncio.run(main())
