"""The load: N keep-alive connections, asking in a closed loop or at a fixed rate.

A closed loop asks again as soon as it is answered, and finds the most a proxy can do. An open loop asks when it is
time, answered or not, and counts latency from that time on: a proxy that stalls is charged for all who waited
(no coordinated omission).
"""

import asyncio
from abc import ABC, abstractmethod
from array import array
from collections import Counter, deque
from collections.abc import Callable
from itertools import cycle
from time import perf_counter
from typing import TypeVar

from loadtest.connection import Connection
from loadtest.load import Load, quantile
from loadtest.ticker import Ticker
from loadtest.workload import Workload

HOST = "127.0.0.1"
READ_BYTES = 256 * 1024
GRACE = 5.0  # seconds an answer may still take after the end of a run
COUNT_EVERY = 0.05  # seconds
LOOK = 0.002  # seconds between looks at what is under way: an event would burden every answer
SETTLE = 0.2  # seconds for a proxy to come to rest
RECONNECT_AFTER = 0.01  # seconds, so that a proxy that refuses everything is not hammered

T = TypeVar("T")


class _Crowd(ABC):
    """Connections to one port, each replaced when it is lost."""

    def __init__(self, port: int, workload: Workload, connections: int) -> None:
        self.errors: Counter[str] = Counter()
        self.connections: list[Connection] = []
        self.running = True
        self._port = port
        self._size = connections
        self._requests = cycle(workload.requests())
        self._expected_bytes = len(workload.reply)
        self._buffer = bytearray(READ_BYTES)
        self._replacements: set[asyncio.Task[None]] = set()

    @abstractmethod
    def answered(self, began: float) -> None: ...

    @abstractmethod
    def free(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection, reason: str) -> None:
        self.connections.remove(connection)
        if reason:
            self.errors[reason] += 1
        if self.running:
            task = asyncio.get_running_loop().create_task(self._replace())
            self._replacements.add(task)
            task.add_done_callback(self._replacements.discard)

    async def open(self) -> None:
        """Connect them all; raises OSError if the proxy does not take the connections."""
        for _ in range(self._size):
            self.connections.append(await self._connect())

    async def finish(self) -> None:
        """Stop asking, wait for what is under way, count what never comes, and close."""
        self.running = False
        until = perf_counter() + GRACE
        while any(connection.busy for connection in self.connections) and perf_counter() < until:  # noqa: ASYNC110
            await asyncio.sleep(LOOK)
        unanswered = sum(connection.busy for connection in self.connections)
        if unanswered:
            self.errors[f"unanswered {GRACE:.0f} s after the end"] += unanswered
        for connection in self.connections:
            connection.close()
        for task in self._replacements:
            task.cancel()
        await asyncio.gather(*self._replacements, return_exceptions=True)

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self._requests, self._expected_bytes, self._buffer, self), HOST, self._port
        )
        return connection

    async def _replace(self) -> None:
        while self.running:
            await asyncio.sleep(RECONNECT_AFTER)
            try:
                connection = await self._connect()
            except OSError:
                self.errors["not connected"] += 1
                continue
            self.connections.append(connection)
            self.free(connection)
            return


class ClosedLoop(_Crowd):
    """Every connection asks again as soon as it is answered."""

    def __init__(self, port: int, workload: Workload, connections: int) -> None:
        super().__init__(port, workload, connections)
        self._latencies: array[float] = array("d")

    async def run(self, warm_up: float, seconds: float, cpu_seconds: Callable[[], float]) -> Load:
        """Load for `warm_up` + `seconds`; figures of the second part, errors of both.

        `cpu_seconds` reads the proxy's processor time, and is called at both edges of the second part.
        """
        await self.open()
        for connection in self.connections.copy():
            self.free(connection)
        await asyncio.sleep(warm_up)
        cpu_before, began = cpu_seconds(), perf_counter()
        self._latencies = array("d")
        await asyncio.sleep(seconds)
        latencies, self._latencies = self._latencies, array("d")
        ended, cpu_after = perf_counter(), cpu_seconds()
        await self.finish()
        return Load(
            len(latencies),
            dict(self.errors),
            ended - began,
            cpu_after - cpu_before,
            quantile(latencies, 0.5),
            quantile(latencies, 0.99),
        )

    async def ask(self, count: int) -> dict[str, int]:
        """Ask `count` times as fast as it goes, and return what was wrong."""
        await self.open()
        for connection in self.connections.copy():
            self.free(connection)
        while len(self._latencies) < count:  # noqa: ASYNC110 - an event would burden every answer
            await asyncio.sleep(COUNT_EVERY)
        await self.finish()
        return dict(self.errors)

    def answered(self, began: float) -> None:
        self._latencies.append(perf_counter() - began)

    def free(self, connection: Connection) -> None:
        if self.running:
            connection.send(perf_counter())


class OpenLoop(_Crowd):
    """Requests are due at a fixed rate. One that finds no free connection waits, and its wait counts."""

    def __init__(self, port: int, workload: Workload, connections: int, rate: float) -> None:
        super().__init__(port, workload, connections)
        self._rate = rate
        self._start = 0.0
        self._counted_from = 0.0
        self._due = 0
        self._free: list[Connection] = []
        self._backlog: deque[float] = deque()
        self._latencies: array[float] = array("d")
        self._lateness: array[float] = array("d")

    async def run(self, warm_up: float, seconds: float, cpu_seconds: Callable[[], float]) -> tuple[Load, float]:
        """As ClosedLoop.run. With it comes the 99th percentile of the generator's own lateness in seconds.

        A lateness that is not small beside the latency means that the generator was measured, not the proxy.
        """
        loop = asyncio.get_running_loop()
        await self.open()
        self._free = self.connections.copy()
        self._start = perf_counter()
        self._counted_from = self._start + warm_up
        ticker = Ticker(self._rate)
        loop.add_reader(ticker.fd, self._tick, ticker)
        try:
            await asyncio.sleep(warm_up)
            cpu_before, began = cpu_seconds(), perf_counter()
            await asyncio.sleep(seconds)
            ended, cpu_after = perf_counter(), cpu_seconds()
        finally:
            loop.remove_reader(ticker.fd)
            ticker.close()
        await self._drain()
        load = Load(
            len(self._latencies),
            dict(self.errors),
            ended - began,
            cpu_after - cpu_before,
            quantile(self._latencies, 0.5),
            quantile(self._latencies, 0.99),
        )
        return load, quantile(self._lateness, 0.99)

    def answered(self, began: float) -> None:
        if began >= self._counted_from:
            self._latencies.append(perf_counter() - began)

    def free(self, connection: Connection) -> None:
        if self._backlog:
            connection.send(self._backlog.popleft())
        else:
            self._free.append(connection)

    def _tick(self, ticker: Ticker) -> None:
        now = perf_counter()
        for _ in range(ticker.read()):
            self._due += 1
            due = self._start + self._due / self._rate
            self._lateness.append(now - due)
            connection = self._next_free()
            if connection is None:
                self._backlog.append(due)
            else:
                connection.send(due)

    def _next_free(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.is_open:
                return connection
        return None

    async def _drain(self) -> None:
        until = perf_counter() + GRACE
        while self._backlog and perf_counter() < until:  # noqa: ASYNC110
            await asyncio.sleep(LOOK)
        if self._backlog:
            self.errors["never sent, too many waiting"] += len(self._backlog)
            self._backlog.clear()
        await self.finish()


class IdleCrowd(_Crowd):
    """Connections that have been answered once and are then left alone."""

    def __init__(self, port: int, workload: Workload, connections: int) -> None:
        super().__init__(port, workload, connections)
        self.running = False  # a connection that is lost is an error, and not replaced
        self._done = asyncio.Event()

    async def hold(self, reading: Callable[[], T]) -> T:
        """Open them all, use each once, take the reading while all are idle, and close them.

        One after the other: the proxy's own pool of connections to the upstream is not what is to be measured.
        """
        await self.open()
        for connection in self.connections.copy():
            self._done.clear()
            connection.send(perf_counter())
            async with asyncio.timeout(GRACE):
                await self._done.wait()
        await asyncio.sleep(SETTLE)
        taken = reading()
        if missing := self._size - len(self.connections):
            self.errors["closed while idle"] += missing
        await self.finish()
        return taken

    def answered(self, began: float) -> None:
        """How long it took does not matter here."""

    def free(self, connection: Connection) -> None:
        self._done.set()

    def lost(self, connection: Connection, reason: str) -> None:
        super().lost(connection, reason)
        self._done.set()
