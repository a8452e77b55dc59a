"""A bound on the connections of a control listener, and on the seconds of each until it asks: files must not run out.

Idle and half-sent connections can hold no place for good. A newcomer to a full listener takes the place of the one that
has waited longest without being answered, so that the kubelet's probes get through when clients hold all connections.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

MAX_CONNECTIONS: Final = 64
HEAD_SECONDS: Final = 10.0
"""Until the first request of a connection is complete."""
IDLE_SECONDS: Final = 75.0
"""From the end of an answer until the next request is complete."""

CallLater = Callable[[float, Callable[[], object]], asyncio.TimerHandle]


@dataclass(slots=True)
class _OpenConnection:
    transport: asyncio.Transport
    timer: asyncio.TimerHandle | None
    answering: bool = False


class ConnectionLimit:
    """The connections of one listener. `call_later` is the event loop's."""

    def __init__(
        self, call_later: CallLater, most: int = MAX_CONNECTIONS, head: float = HEAD_SECONDS, idle: float = IDLE_SECONDS
    ) -> None:
        """`head` and `idle` are seconds."""
        self._call_later = call_later
        self._most = most
        self._head = head
        self._idle = idle
        self._held: dict[asyncio.BaseTransport, _OpenConnection] = {}

    @property
    def count(self) -> int:
        """Connections that are open now."""
        return len(self._held)

    def counted(self, protocol: asyncio.Protocol) -> asyncio.Protocol:
        """The same protocol, its connection counted."""
        return _Counted(self, protocol)

    def opened(self, transport: asyncio.Transport) -> bool:
        """A connection was accepted. False, and it is broken, where every other one is being answered."""
        if len(self._held) >= self._most:
            waiting = next((held for held in self._held.values() if not held.answering), None)
            if waiting is None:
                transport.abort()
                return False
            self.closed(waiting.transport)
            waiting.transport.abort()
        self._held[transport] = _OpenConnection(transport, self._call_later(self._head, transport.abort))
        return True

    def closed(self, transport: asyncio.BaseTransport) -> None:
        """A connection is gone."""
        held = self._held.pop(transport, None)
        if held is not None and held.timer is not None:
            held.timer.cancel()

    def asked(self, transport: asyncio.BaseTransport | None) -> None:
        """A request is complete: its answer has bounds of its own."""
        if transport is not None and (held := self._held.get(transport)) is not None:
            held.answering = True
            if held.timer is not None:
                held.timer.cancel()
                held.timer = None

    def answered(self, transport: asyncio.BaseTransport | None) -> None:
        """The answer is made; the rest of it and the next request have `idle` seconds."""
        if transport is not None and (held := self._held.pop(transport, None)) is not None:
            held.answering = False
            held.timer = self._call_later(self._idle, held.transport.abort)
            self._held[transport] = held


class _Counted(asyncio.Protocol):
    """Stands in front of a protocol and passes everything on."""

    def __init__(self, limit: ConnectionLimit, protocol: asyncio.Protocol) -> None:
        self._limit = limit
        self._protocol = protocol
        self._refused = False
        self._transport: asyncio.BaseTransport | None = None
        self.data_received = protocol.data_received  # type: ignore[method-assign]
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._refused = not self._limit.opened(cast("asyncio.Transport", transport))
        if not self._refused:
            self._protocol.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._limit.closed(self._transport)
        if not self._refused:
            self._protocol.connection_lost(exc)
