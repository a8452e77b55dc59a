"""The dependency: HTTP servers of finite capacity that go through a scenario's faults, and write down what they see.

Run as a process of its own: `python -m loadtest.storm.dependency SCENARIO SEED FACTOR` prints its ports on one line,
as JSON: that of its control, and those of each destination's endpoints. `POST /begin?zero=T` at the control starts the
scenario at T of the system's monotonic clock, `GET /report` is what was seen.
"""

import asyncio
import gc
import json
import random
import sys
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import httptools
import uvloop

from loadtest.storm.scenario import Fault, Scenario, scenarios
from loadtest.storm.witness import ID_HEADER
from sidecar.demo.workforce import Workforce

HOST = "127.0.0.1"
_ID = ID_HEADER.encode()


def response(status: int, reason: str, body: bytes, added: str = "") -> bytes:
    head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n{added}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


OK = response(200, "OK", b'{"balance":"10.00"}\n')
OVERFLOW = response(503, "Service Unavailable", b'{"error":"queue full"}\n')
REASONS = {429: "Too Many Requests", 503: "Service Unavailable"}


class Arrival:
    """One attempt at an endpoint, as it is written down."""

    __slots__ = ("arrived", "began", "connection", "done", "number", "post", "retry_after", "status")

    def __init__(self, number: int, arrived: float, connection: "Connection", *, post: bool) -> None:
        self.number = number
        self.post = post
        self.arrived = arrived
        self.connection = connection
        self.began: float | None = None
        self.done: float | None = None
        self.status = 0
        self.retry_after: int | None = None


class Endpoint:
    """One address of a destination: its workers, its cache, its faults."""

    def __init__(self, scenario: Scenario, seed: int, clock: Callable[[], float]) -> None:
        self.arrivals: list[Arrival] = []
        self.port = 0
        self._scenario = scenario
        self._clock = clock
        self._dice = random.Random(seed)
        self._workforce: Workforce[Arrival] = Workforce(scenario.workers_each, scenario.queue, self._begin, clock())
        self._missing: set[int] = set()
        self._answering: Fault | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0

    async def listen(self) -> None:
        """Take connections, at the same port as before if there was one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), HOST, self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def suffer(self, fault: Fault) -> None:
        """The fault begins."""
        self._collect()
        if fault.speed is not None:
            self._workforce.pace(fault.speed)
        if fault.status is not None:
            self._answering = fault
        if fault.cold:
            self._missing = set(range(self._scenario.keys))
        if fault.down and self._server is not None:
            self._server.close()
            self._server = None
            self._workforce.lose()
            for connection in self._connections.copy():
                connection.cut()
        self._arm()

    async def recover(self, fault: Fault) -> None:
        """The fault is over."""
        self._collect()
        if fault.speed is not None:
            self._workforce.pace(1.0)
        if self._answering is fault:
            self._answering = None
        if fault.down:
            await self.listen()
        self._arm()

    def request(self, connection: "Connection", number: int, *, post: bool) -> None:
        """A request has been read: answer it, now or when a worker has done it."""
        self._collect()
        arrival = Arrival(number, self._clock(), connection, post=post)
        self.arrivals.append(arrival)
        fault = self._answering
        if fault is not None and fault.status is not None and self._dice.random() < fault.share:
            arrival.status = fault.status
            arrival.retry_after = fault.retry_after
            added = "" if fault.retry_after is None else f"retry-after: {fault.retry_after}\r\n"
            connection.answer(response(fault.status, REASONS[fault.status], b'{"error":"no"}\n', added))
        elif not self._workforce.accept(arrival):
            arrival.status = 503
            connection.answer(OVERFLOW)
        self._arm()

    def joined(self, connection: "Connection") -> None:
        self._connections.add(connection)

    def left(self, connection: "Connection") -> None:
        self._connections.discard(connection)

    def _begin(self, arrival: Arrival) -> float:
        """A worker takes it up: how much work it is."""
        arrival.began = self._clock()
        scenario = self._scenario
        work = scenario.service * (0.5 + self._dice.random())
        if scenario.keys:
            key = self._dice.randrange(scenario.keys)
            if key in self._missing:
                work *= scenario.miss
                self._missing.discard(key)
        return work

    def _collect(self) -> None:
        for arrival in self._workforce.advance(self._clock()):
            arrival.done = self._clock()
            if arrival.connection.answer(OK):
                arrival.status = 200

    def _arm(self) -> None:
        at = self._workforce.next_finish()
        if self._alarm is not None:
            if at is not None and self._alarm_at <= at:
                return
            self._alarm.cancel()
            self._alarm = None
        if at is not None:
            self._alarm_at = at
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, at - self._clock()), self._work_done)

    def _work_done(self) -> None:
        self._alarm = None
        self._collect()
        self._arm()


class Connection(asyncio.Protocol):
    """One caller's connection; requests come one at a time, as nobody here pipelines."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._number = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._endpoint.joined(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.cut()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._endpoint.left(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == _ID:
            self._number = int(value)

    def on_message_complete(self) -> None:
        number, self._number = self._number, -1
        if number < 0:  # nobody's request: a proxy was asked whether it works
            self.answer(OK)
            return
        self._endpoint.request(self, number, post=self._parser.get_method() == b"POST")

    def answer(self, data: bytes) -> bool:
        """Whether there was anybody to send it to."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        return True

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


class Dependency:
    """All endpoints of all destinations."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._zero = 0.0
        dice = random.Random(seed)
        self.endpoints = [
            [Endpoint(scenario, dice.getrandbits(32), self._clock) for _ in range(scenario.endpoints)]
            for _ in range(scenario.destinations)
        ]
        self._recoveries: set[asyncio.Task[None]] = set()

    async def listen(self) -> list[list[int]]:
        """Open every endpoint; the ports."""
        for destination in self.endpoints:
            for endpoint in destination:
                await endpoint.listen()
        return [[endpoint.port for endpoint in destination] for destination in self.endpoints]

    def begin(self, zero: float) -> None:
        """Go through the scenario from `zero` on."""
        self._zero = zero
        loop = asyncio.get_running_loop()
        for fault in self._scenario.faults:
            begins = zero + self._scenario.before + fault.at - monotonic()
            for number, destination in enumerate(self.endpoints):
                for place, endpoint in enumerate(destination):
                    if fault.hits(number, place):
                        loop.call_later(begins, endpoint.suffer, fault)
                        if fault.seconds:
                            loop.call_later(begins + fault.seconds, self._recover, endpoint, fault)

    def report(self) -> list[list[object]]:
        """Everything that arrived, as the fields of `witness.Attempt`."""
        return [
            [
                arrival.number,
                number,
                place,
                arrival.post,
                arrival.arrived - self._zero,
                None if arrival.began is None else arrival.began - self._zero,
                None if arrival.done is None else arrival.done - self._zero,
                arrival.status,
                arrival.retry_after,
            ]
            for number, destination in enumerate(self.endpoints)
            for place, endpoint in enumerate(destination)
            for arrival in endpoint.arrivals
        ]

    def _clock(self) -> float:
        return monotonic()

    def _recover(self, endpoint: Endpoint, fault: Fault) -> None:
        task = asyncio.get_running_loop().create_task(endpoint.recover(fault))
        self._recoveries.add(task)
        task.add_done_callback(self._recoveries.discard)


class Controlled(Protocol):
    """What begins when it is told to, and reports what it saw."""

    def begin(self, zero: float) -> None:
        """Go on from `zero` of the system's monotonic clock."""

    def report(self) -> object:
        """Plain values for JSON."""


class Control(asyncio.Protocol):
    """Where the run begins and is reported."""

    def __init__(self, dependency: Controlled) -> None:
        self._dependency = dependency
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_message_complete(self) -> None:
        url, self._url = self._url.decode(), b""
        assert self._transport is not None
        if url.startswith("/begin?zero="):
            self._dependency.begin(float(url.partition("=")[2]))
            self._transport.write(response(200, "OK", b"{}"))
        else:
            self._transport.write(response(200, "OK", json.dumps(self._dependency.report()).encode()))


async def serve(scenario: Scenario, seed: int) -> None:
    dependency = Dependency(scenario, seed)
    ports = await dependency.listen()
    server = await asyncio.get_running_loop().create_server(lambda: Control(dependency), HOST, 0)
    print(json.dumps({"control": server.sockets[0].getsockname()[1], "destinations": ports}), flush=True)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    _, name, chosen_seed, factor = sys.argv
    uvloop.run(serve(scenarios()[name].scaled(float(factor)), int(chosen_seed)))
