"""The callers: kept-alive connections, requests that drip, answers that are read as fast as the caller likes."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic

import httptools

from loadtest.harmless.dependency import EVENT
from loadtest.harmless.plan import ID_HEADER, Request
from loadtest.harmless.situation import Call, Situation
from loadtest.storm.client import HOST

PIECES = 20  # in which a body drips
MARGIN = 0.05  # seconds
IDEMPOTENT = {"GET", "PUT", "DELETE", "HEAD"}

Choose = Callable[[Request, float], int]
"""The port at which a request goes in, at an instant of the situation."""


def at_random(ports: Sequence[int]) -> Choose:
    """One of the ports, as the request's dice say."""
    return lambda request, now: ports[int(request.door * len(ports))]


def at_those_there(ports: Sequence[int], situation: Situation) -> Choose:
    """One of the endpoints that are not being replaced, as a load balancer would choose."""
    deploy = situation.deploy
    if deploy is None:
        return at_random(ports)

    def choose(request: Request, now: float) -> int:
        # With a margin on both sides: the balancer knows before an endpoint goes, and takes it back when it is there.
        there = [port for number, port in enumerate(ports) if not deploy.is_gone(number, now, MARGIN)]
        return there[int(request.door * len(there))]

    return choose


class Callers:
    """Everybody who calls through one subject."""

    def __init__(self, situation: Situation, choose: Choose) -> None:
        self._calls = situation.calls
        self._choose = choose
        self._idle: dict[int, list[_Connection]] = {}

    async def ask(self, request: Request, zero: float) -> None:
        """Ask, and write down in the request what came of it. Its time runs from the instant it is planned for."""
        call = self._calls[request.kind]
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + call.patience):
                status, first = await self._answer(request, call, zero)
        except OSError:  # TimeoutError is one
            status, first = 0, monotonic()
        request.good = status == call.status
        request.took = first - zero - request.at

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()

    async def _answer(self, request: Request, call: Call, zero: float) -> tuple[int, float]:
        port = self._choose(request, monotonic() - zero)
        idle = self._idle.setdefault(port, [])
        while idle and not call.fresh:
            connection = idle.pop()
            if not connection.is_open:
                continue
            try:
                return await self._asked(connection, idle, request, call, port)
            except ConnectionResetError:
                # Closed by the other side as it was written to: as every client library, once more on a new one.
                if connection.has_answered or call.method not in IDEMPOTENT:
                    raise
                break
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, HOST, port)
        return await self._asked(connection, idle, request, call, port)

    @staticmethod
    async def _asked(
        connection: "_Connection", idle: "list[_Connection]", request: Request, call: Call, port: int
    ) -> tuple[int, float]:
        try:
            answer = await connection.ask(call, _head(request, call, port))
        except BaseException:
            connection.close()
            raise
        if call.fresh:
            connection.close()
        elif connection.is_open:
            idle.append(connection)
        return answer


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.has_answered = False
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, float]] | None = None
        self._call = Call("")
        self._began = 0.0
        self._first = 0.0
        self._body_bytes = 0
        self._resume: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, call: Call, head: bytes) -> tuple[int, float]:
        """The status, and when the answer was there: of a stream its first event, otherwise its last byte."""
        if self._transport is None:
            raise ConnectionResetError("the connection was closed")
        self._call, self._body_bytes, self._first, self.has_answered = call, 0, 0.0, False
        answer: asyncio.Future[tuple[int, float]] = asyncio.get_running_loop().create_future()
        self._answer = answer
        if call.drip:
            self._transport.write(head)
            for _ in range(PIECES):
                await asyncio.sleep(call.drip / PIECES)
                if self._transport is None or answer.done():
                    break
                self._transport.write(b"x" * (call.upload // PIECES))
        else:
            self._transport.write(head + b"x" * call.upload)
        return await answer

    def close(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.has_answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
            return
        if self._call.read and self._transport is not None and self._first:
            ahead = self._first + self._body_bytes / self._call.read - monotonic()
            if ahead > 0:
                self._transport.pause_reading()
                self._resume = asyncio.get_running_loop().call_later(ahead, self._read_on)

    def on_body(self, body: bytes) -> None:
        self._first = self._first or monotonic()
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        if not self._parser.should_keep_alive():
            self._close_later()
        if self._answer is None or self._answer.done():
            return
        call = self._call
        expected = call.events * len(EVENT) or call.bytes
        if status == call.status and self._body_bytes != expected:
            self._answer.set_exception(ConnectionAbortedError(f"{self._body_bytes} of {expected} bytes"))
        else:
            self._answer.set_result((status, self._first if call.events and self._first else monotonic()))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(str(exc or "closed before the answer")))

    def _read_on(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def _close_later(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _head(request: Request, call: Call, port: int) -> bytes:
    lines = [f"{call.method} /{call.name} HTTP/1.1", f"host: {HOST}:{port}", f"{ID_HEADER}: {request.identity()}"]
    if call.upload:
        size = call.upload // PIECES * PIECES if call.drip else call.upload
        lines += ["content-type: application/octet-stream", f"content-length: {size}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
