"""The dependency of the cases on a real socket: it answers each attempt by the script, and writes down what it saw.

A call is told from others by its path, `/CASE/CALL`, counted from 0: attempts of one call have the same path.
"""

import asyncio
import math
import time
from collections.abc import Iterable
from typing import Final, Self

from sidecar.vectors.case import ScriptedAnswer, VectorCase
from sidecar.vectors.judge import SeenAttempt

_MAX_HEAD_BYTES: Final = 65536


class ScriptedDependency:
    """A server on a loopback port. `async with` starts and ends it. `port` is its port."""

    def __init__(self, cases: Iterable[VectorCase], host: str = "127.0.0.1") -> None:
        self.port = 0
        self.seen: dict[str, list[SeenAttempt]] = {}
        """By path."""
        self._host = host
        self._scripts = {
            f"/{case.name}/{place}": call.answers for case in cases for place, call in enumerate(case.calls)
        }
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, 0, limit=_MAX_HEAD_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._connections.values():
            writer.transport.abort()
        await asyncio.gather(*self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client has left
        finally:
            del self._connections[task]
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is over."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if length := int(fields.get("content-length", "0")):
            await reader.readexactly(length)
        attempts = self.seen.setdefault(path, [])
        script = self._scripts[path]
        answer = script[min(len(attempts), len(script) - 1)]
        attempt = SeenAttempt(time.monotonic(), math.inf, fields.get("idempotency-key"), fields.get("x-retry-attempt"))
        attempts.append(attempt)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        if answer.fault == "hang":
            await reader.read()  # until the client leaves
            return False
        attempt.ended = time.monotonic()
        if answer.status is None:
            writer.transport.abort()
            return False
        writer.write(_response(answer))
        await writer.drain()
        return True


def _response(answer: ScriptedAnswer) -> bytes:
    wish = "" if answer.retry_after is None else f"Retry-After: {answer.retry_after}\r\n"
    return f"HTTP/1.1 {answer.status} Scripted\r\nContent-Length: 2\r\n{wish}\r\n{{}}".encode("latin-1")
