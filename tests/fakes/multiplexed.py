"""A second codec: a trivial protocol that carries many streams over one connection, each as frames with its number.

A frame is a stream's number, a kind and a payload. A request is HEAD (`METHOD PATH` and field lines), DATA…, END
(trailer lines); a response is HEAD (`STATUS` and field lines), DATA…, END. CANCEL ends a stream and no other; REFUSED
says that nothing was done about it. A trailer `verdict: STATUS` of a response says how it came out in the end: the head
is kept back until the next frame, so that one without a body can still be tried again.
"""

import asyncio
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import cast

from sidecar.proxy.context import ProxyContext
from sidecar.proxy.read_gate import ReadGate
from sidecar.proxy.stream import ConnectionOwner, Loss, ResponseReceiver
from sidecar.wire.framing import CLOSE
from sidecar.wire.head import RequestHead, ResponseHead

CAPACITY = 8


class Kind(IntEnum):
    HEAD = 1
    DATA = 2
    END = 3
    CANCEL = 4
    REFUSED = 5


def frame(number: int, kind: Kind, payload: bytes = b"") -> bytes:
    return struct.pack("!IBI", number, kind, len(payload)) + payload


def frames(data: bytes) -> Iterator[tuple[int, Kind, bytes]]:
    """Whole frames only: these tests deliver them so."""
    while data:
        number, kind, size = struct.unpack("!IBI", data[:9])
        yield number, Kind(kind), data[9 : 9 + size]
        data = data[9 + size :]


class Multiplexed(asyncio.Protocol):
    """One connection. Implements `stream.UpstreamConnection`."""

    capacity = CAPACITY
    transport: asyncio.Transport

    def __init__(self, context: ProxyContext, owner: ConnectionOwner) -> None:
        self.owner = owner
        self.now = context.clock
        self.idle_since = 0.0
        self.streams: dict[int, MultiplexedStream] = {}
        self._next = 1
        self._open = False

    def has_capacity(self) -> bool:
        return len(self.streams) < CAPACITY and self._open

    def lease(self) -> "MultiplexedStream | None":
        if not self._open:
            return None
        stream = self.streams[self._next] = MultiplexedStream(self, self._next)
        self._next += 1
        return stream

    def idle(self) -> bool:
        return not self.streams

    def give_up(self) -> None:
        if self._open:
            self._open = False
            self.owner.open -= 1

    def close(self) -> None:
        self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._open = True
        self.owner.open += 1

    def data_received(self, data: bytes) -> None:
        for number, kind, payload in frames(data):
            stream = self.streams.get(number)
            if stream is not None:  # else it was cancelled, and this was on its way
                stream.received(kind, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self.give_up()
        self.owner.forget(self)
        for stream in list(self.streams.values()):
            stream.lost(Loss.RESET)

    def ended(self, stream: "MultiplexedStream") -> None:
        del self.streams[stream.number]
        if self._open:
            self.owner.restore(self, self.now())


class MultiplexedStream:
    """One request and its response. Implements `stream.Stream`."""

    receiver: ResponseReceiver

    def __init__(self, connection: Multiplexed, number: int) -> None:
        self.connection = connection
        self.owner = connection.owner
        self.number = number
        self.read_gate = ReadGate(_Window())  # type: ignore[arg-type]
        self._head: ResponseHead | None = None
        self._told = self._complete = False

    def send_head(
        self, receiver: ResponseReceiver, head: RequestHead, added: bytes, data: bytes, trailers: bytes | None
    ) -> None:
        self.receiver = receiver
        self.owner.in_flight += 1
        self._send(Kind.HEAD, head.method + b" " + head.target + b"\r\n" + head.fields + added)
        if data:
            self.send_data(data)
        if trailers is not None:
            self.end(trailers)

    def send_data(self, data: bytes) -> None:
        self._send(Kind.DATA, data)

    def end(self, trailers: bytes) -> None:
        self._send(Kind.END, trailers)

    def release(self, now: float) -> None:
        del now
        self._leave()

    def cancel(self) -> None:
        if self._leave() and not self._complete:
            self._send(Kind.CANCEL)

    def taking(self) -> bool:
        return False

    def hand_over(self) -> asyncio.Transport:
        raise AssertionError("nobody switches protocols here")

    def received(self, kind: Kind, payload: bytes) -> None:
        if kind is Kind.HEAD:
            line, _, fields = payload.partition(b"\r\n")
            self._head = head = ResponseHead(int(line), line + b" ", 1)
            head.fields = fields
            head.framing = CLOSE  # the frames say where it ends, and no field does
        elif kind is Kind.DATA:
            self._tell(None)
            if payload:
                self.receiver.on_body(self, payload)
        elif kind is Kind.END:
            self._complete = True
            verdict = int(payload.partition(b"verdict: ")[2][:3] or 0) or None
            self._tell(verdict)
            if self.number in self.connection.streams:
                self.receiver.on_end(self, b"", payload, verdict)
        elif kind is Kind.REFUSED:
            self.lost(Loss.REFUSED)

    def lost(self, loss: Loss) -> None:
        self._complete = True
        self._leave()
        self.receiver.on_lost(self, loss)

    def _tell(self, verdict: int | None) -> None:
        """Pass the head on, now that what follows it is known."""
        head, self._head = self._head, None
        if head is not None:
            # With a body the verdict is still to come; the head has to be passed on without it.
            head.verdict = (verdict or head.status) if self._complete else None
            self.receiver.on_response(self, head, b"", False)

    def _leave(self) -> bool:
        if self.number not in self.connection.streams:
            return False
        self.owner.in_flight -= 1
        self.connection.ended(self)
        return True

    def _send(self, kind: Kind, payload: bytes = b"") -> None:
        self.connection.transport.write(frame(self.number, kind, payload))


class _Window:
    """A stream's window: closed and opened without a word here."""

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading
