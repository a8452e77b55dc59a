"""The dependency: HTTP servers that answer every request well, in the time that the situation says.

Run as a process of its own: `python -m loadtest.harmless.dependency SITUATION` prints its ports on one line, as JSON:
that of its control and those of its endpoints. `GET /begin?zero=T` at the control starts the situation at T of the
system's monotonic clock, `GET /report` is the number of the request of each attempt that arrived.
"""

import asyncio
import gc
import json
import sys
from functools import partial
from heapq import heapreplace
from http import HTTPStatus
from math import inf
from time import monotonic

import httptools
import uvloop

from loadtest.harmless.plan import ID_HEADER
from loadtest.harmless.situation import Call, Situation, situations
from loadtest.storm.dependency import HOST, OK, Control, response

REASONS = {status.value: status.phrase for status in HTTPStatus}
EVENT = b"data: tick\n\n"
_ID = ID_HEADER.encode()
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
_LAST_CHUNK = b"0\r\n\r\n"


class Endpoint:
    """One address: the same server as the others, but perhaps slower."""

    def __init__(self, dependency: "Dependency", number: int) -> None:
        self.dependency = dependency
        self.situation = dependency.situation
        self.number = number
        self.port = 0
        self.is_leaving = False
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._free_at = [-inf] * dependency.situation.workers

    async def listen(self) -> None:
        """Take connections, at the same port as before if there was one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), HOST, self.port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        self.is_leaving = False

    def leave(self) -> None:
        """Take no more connections, and close those that there are when they are idle."""
        self.is_leaving = True
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self.connections.copy():
            connection.close_if_idle()

    def due(self, call: Call, first: float, second: float) -> float:
        """The instant of the monotonic clock at which a request that has just come is answered."""
        situation = self.situation
        begins = situation.paused_until(self.number, monotonic() - self.dependency.zero)
        takes = call.seconds(begins, first, second, situation.seconds) * situation.factor(self.number)
        if self._free_at:  # a worker takes it up when the first of them is free
            begins = max(begins, self._free_at[0])
            heapreplace(self._free_at, begins + takes)
        return self.dependency.zero + situation.paused_until(self.number, begins + takes)


class Connection(asyncio.Protocol):
    """One caller's connection; requests come one at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._identity = b""
        self._is_busy = False
        self._answers = 0
        self._events = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._endpoint.connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._endpoint.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def on_message_begin(self) -> None:
        self._is_busy = True
        if self._timer is not None:
            self._timer.cancel()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == _ID:
            self._identity = value

    def on_headers_complete(self) -> None:
        if self._identity:
            self._endpoint.dependency.arrived.append(int(self._identity.split()[0]))

    def on_message_complete(self) -> None:
        identity, self._identity = self._identity, b""
        if not identity:  # nobody's request: a proxy was asked whether it works
            self._write(OK)
            self._answered()
            return
        _, kind, first, second = identity.split()
        call = self._endpoint.situation.calls[int(kind)]
        due = self._endpoint.due(call, float(first), float(second))
        answer = partial(self._begin_events, call) if call.events else partial(self._answer, int(kind))
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - monotonic()), answer)

    def close_if_idle(self) -> None:
        if not self._is_busy:
            self._close()

    def _answer(self, kind: int) -> None:
        is_last = self._is_last()
        self._write(self._endpoint.dependency.answers[kind][is_last])
        self._answered(is_last=is_last)

    def _begin_events(self, call: Call) -> None:
        self._events = call.events
        self._write(_STREAM)
        self._send_event(call)

    def _send_event(self, call: Call) -> None:
        self._events -= 1
        self._write(_CHUNK)
        if self._events:
            self._timer = asyncio.get_running_loop().call_later(call.every, self._send_event, call)
        else:
            self._write(_LAST_CHUNK)
            self._answered()

    def _is_last(self) -> bool:
        limit = self._endpoint.situation.per_connection
        return self._endpoint.is_leaving or (limit > 0 and self._answers + 1 >= limit)

    def _answered(self, *, is_last: bool = False) -> None:
        self._answers += 1
        self._is_busy = False
        if is_last:
            self._close()
        elif keep_alive := self._endpoint.situation.keep_alive:
            self._timer = asyncio.get_running_loop().call_later(keep_alive, self.close_if_idle)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Dependency:
    """All its endpoints, and what arrived at them."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.zero = monotonic()
        self.arrived: list[int] = []
        self.answers = [
            (
                response(call.status, REASONS[call.status], b"x" * call.bytes),
                response(call.status, REASONS[call.status], b"x" * call.bytes, "connection: close\r\n"),
            )
            for call in situation.calls
        ]
        self.endpoints = [Endpoint(self, number) for number in range(situation.endpoints)]
        self._returns: set[asyncio.Task[None]] = set()

    async def listen(self) -> list[int]:
        """Open every endpoint; the ports."""
        for endpoint in self.endpoints:
            await endpoint.listen()
        return [endpoint.port for endpoint in self.endpoints]

    def begin(self, zero: float) -> None:
        """Go through the situation from `zero` on."""
        self.zero = zero
        deploy = self.situation.deploy
        if deploy is not None:
            loop = asyncio.get_running_loop()
            for endpoint in self.endpoints:
                leaves = zero - monotonic() + deploy.at + endpoint.number * deploy.every
                loop.call_later(leaves, endpoint.leave)
                loop.call_later(leaves + deploy.gone, self._return, endpoint)

    def report(self) -> list[int]:
        """The number of the request of every attempt that arrived."""
        return self.arrived

    def _return(self, endpoint: Endpoint) -> None:
        task = asyncio.get_running_loop().create_task(endpoint.listen())
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)


async def serve(situation: Situation) -> None:
    dependency = Dependency(situation)
    ports = await dependency.listen()
    server = await asyncio.get_running_loop().create_server(lambda: Control(dependency), HOST, 0)
    print(json.dumps({"control": server.sockets[0].getsockname()[1], "endpoints": ports}), flush=True)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(situations()[sys.argv[1]]))
