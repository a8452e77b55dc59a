"""Exchanges without sockets and without waiting: a clock that stands until it is moved, transports that take notes.

A test reads like a packet capture: what the client asked, what the endpoint was sent, what it answered, what the client
got.
"""

import asyncio
import heapq
import itertools
import os
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from sidecar.engine.destination import Destination
from sidecar.engine.policy import DestinationPolicy
from sidecar.net import Endpoint
from sidecar.proxy.codecs import Codecs
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.exchange_phase import ExchangePhase
from sidecar.proxy.observer import ExchangeObserver
from sidecar.proxy.pool import EndpointPool, Pool, ResolvedAddress
from sidecar.proxy.problem import Problem
from sidecar.proxy.read_gate import ReadGate
from sidecar.proxy.route import Route
from sidecar.proxy.stream import Stream, UpstreamConnection
from sidecar.proxy.upstream import Upstream
from sidecar.wire.framing import CHUNKED
from sidecar.wire.head import RequestHead, ResponseHead
from tests.fakes.house import GENEROUS, Notes

_SILENT, _OTHER_END = os.pipe()
"""A file on which nothing ever comes, for those who ask the kernel."""


class FakeLoop:
    """A loop of which only the clock and coroutines that wait for `Gate`s are used."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, int, _Handle]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> "_Handle":
        handle = _Handle(call)
        heapq.heappush(self._due, (self.now + delay, next(self._numbers), handle))
        return handle

    def create_task(self, work: Coroutine[Any, Any, None]) -> "_Task":
        return _Task(work)

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due meanwhile."""
        until = self.now + seconds
        while self._due and self._due[0][0] <= until:
            at, _, handle = heapq.heappop(self._due)
            self.now = max(self.now, at)
            handle.run()
        self.now = until


class _Handle:
    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self._call = None

    def run(self) -> None:
        if self._call is not None:
            self._call()


class Gate:
    """What a connect waits for. `open` lets it go on, or end with an error."""

    def __init__(self) -> None:
        self._task: _Task | None = None
        self._error: BaseException | None = None
        self.passed = False

    def __await__(self) -> Generator["Gate", None, None]:
        if not self.passed:
            yield self
        if self._error is not None:
            raise self._error

    def open(self, error: BaseException | None = None) -> None:
        self.passed, self._error = True, error
        if self._task is not None:
            self._task.step()

    def wake(self, task: "_Task") -> None:
        self._task = task


class _Task:
    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work
        self._done: list[Callable[[Any], None]] = []
        self._over = False
        self._begun = False

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        self._done.append(call)
        if not self._begun:
            self._begun = True
            self.step()

    def cancel(self) -> None:
        if not self._over:
            try:
                self._work.throw(asyncio.CancelledError())
            except (asyncio.CancelledError, StopIteration):
                self._end()

    def step(self) -> None:
        if self._over:
            return
        try:
            self._work.send(None).wake(self)
        except StopIteration:
            self._end()

    def _end(self) -> None:
        self._over = True
        for call in self._done:
            call(self)


class FakeTransport:
    """Notes what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = self.aborted = self.paused = False

    def get_extra_info(self, name: str) -> object:
        return SimpleNamespace(fileno=lambda: _SILENT) if name == "socket" else None

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def take(self) -> bytes:
        """All that was written since the last time."""
        data = b"".join(self.written)
        self.written.clear()
        return data

    def is_closing(self) -> bool:
        return self.closed or self.aborted

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


@dataclass
class Client:
    """A client of no protocol in particular. Implements `response_writer.ResponseWriter`."""

    context: ProxyContext
    log: list[str] = field(default_factory=list)
    heads: list[ResponseHead] = field(default_factory=list)
    content: bytes = b""
    added: bytes = b""
    trailers: bytes = b""
    takes: bool = False
    problems: list[Problem] = field(default_factory=list)
    exchange: Exchange | None = None

    def __post_init__(self) -> None:
        self.timer = self.context.wheel.timer(self._on_timer)
        self.read_gate = ReadGate(FakeTransport())  # type: ignore[arg-type]

    def interim(self, head: ResponseHead) -> None:
        self.log.append(f"interim {head.status}")

    def respond(
        self, head: ResponseHead, added: bytes, body: bytes, complete: bool, now: float, trailers: bytes = b""
    ) -> None:
        self.log.append(f"respond {head.status}")
        self.heads.append(head)
        self.added += added
        self.content += body
        if complete:
            self.trailers = trailers
            self.log.append("end")

    def body(self, data: bytes) -> None:
        self.content += data

    def end(self, data: bytes, trailers: bytes, now: float) -> None:
        self.content += data
        self.trailers = trailers
        self.log.append("end")

    def refuse(self, problem: Problem, added: bytes, now: float) -> None:
        self.added += added
        self.problems.append(problem)
        self.log.append(f"refuse {problem.status} {problem.reason}")

    def reset(self) -> None:
        self.log.append("reset")

    def switch(self, head: ResponseHead, added: bytes, stream: Stream, early: bytes) -> None:
        self.log.append("switch")

    def taking(self) -> bool:
        return self.takes

    def _on_timer(self, now: float) -> None:
        assert self.exchange is not None
        self.exchange.on_timer(now)


class _FakeEndpointPool(EndpointPool):
    """Connects when the stage says so, without sockets."""

    stage: "Stage"

    async def connect(self, chosen: ResolvedAddress) -> UpstreamConnection:
        gate = Gate()
        self.stage.connects.append(gate)
        if self.stage.connects_at_once:
            gate.passed = True
        await gate
        new = self._codecs.connection(self.stage.context, chosen, secure=False)
        transport = FakeTransport()
        self.stage.transports.append(transport)
        new.protocol.connection_made(transport)  # type: ignore[arg-type]
        chosen.record_connection()
        return new.connection


class _FakePool(Pool):
    stage: "Stage"

    def _endpoint_pool(self, endpoint: Endpoint) -> EndpointPool:
        pool = _FakeEndpointPool(self._context, endpoint, self._tls, self._gather, self._dns_lookup_limit, self._codecs)
        pool.stage = Stage.current
        return pool


class Stage:
    """One destination with its pool, and clients that ask it."""

    current: "Stage"

    def __init__(
        self,
        codecs: Codecs,
        policy: DestinationPolicy = GENEROUS,
        *,
        endpoints: int = 1,
        connects_at_once: bool = True,
    ) -> None:
        Stage.current = self
        self.loop = FakeLoop()
        self.notes = Notes()
        self.context = ProxyContext(self.loop, self.notes, clock=self.loop.time)  # type: ignore[arg-type]
        self.context.via = b"Via: 1.1 sidecar\r\n"
        self.connects_at_once = connects_at_once
        self.clients: list[Client] = []
        self.connects: list[Gate] = []
        self.transports: list[FakeTransport] = []
        self.destination = Destination("payments", policy, lambda: 0.5, self.loop.now)
        addresses = [Endpoint("http", f"10.0.0.{number}", 80) for number in range(1, endpoints + 1)]
        self.pool = _FakePool(self.context, addresses, lambda: 0.5, lambda: None, codecs=codecs)  # type: ignore[arg-type, return-value]
        self.route = Route("payments", self.destination, self.pool)

    @property
    def connections(self) -> list[UpstreamConnection]:
        """Those that have capacity."""
        return [connection for address in self.pool.addresses for connection in address.spare]

    @property
    def streams(self) -> list[Stream]:
        """Those that clients wait for an answer on."""
        return [c.exchange._stream for c in self.clients if c.exchange is not None and c.exchange._stream is not None]

    @property
    def http1(self) -> Upstream:
        """The HTTP/1 connection on which a client waits for an answer."""
        (stream,) = self.streams
        assert isinstance(stream, Upstream)
        return stream

    def sent_by(self, client: Client) -> bool:
        """Whether an attempt of this client is on its way."""
        return client.exchange is not None and client.exchange.phase is ExchangePhase.SENT

    def upload(self) -> Client:
        """A PUT whose body is still to come."""
        return self._begin(RequestHead(b"PUT", b"/", 1), None, upload=True)

    def ask(self, method: bytes = b"GET", path: bytes = b"/", observer: ExchangeObserver | None = None) -> Client:
        """A whole request without a body."""
        return self._begin(RequestHead(method, path, 1), observer)

    def _begin(self, head: RequestHead, observer: ExchangeObserver | None, *, upload: bool = False) -> Client:
        client = Client(self.context)
        head.fields = b"Host: payments\r\n"
        client.exchange = Exchange(self.context, client, self.route, head, self.loop.now, observer)
        self.clients.append(client)
        if upload:
            head.framing = CHUNKED
            client.exchange.expect_body(self.loop.now)
        client.exchange.begin(self.loop.now)
        return client
