"""What all connections of one sidecar share: the wheel, the limits, the counts, and whoever is told of exchanges."""

import itertools
import os
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from typing import Protocol

from sidecar.engine.record import ExchangeRecord
from sidecar.engine.trace import ExchangeTrace
from sidecar.governance.documents.limits import WireLimits
from sidecar.proxy.resolver import DnsLookupLimit
from sidecar.proxy.timers import Wheel
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.malformed import REASONS
from sidecar.wire.recent import Recent
from sidecar.wire.shapes import RequestShape, ResponseShape, Shapes


class ExchangeRecorder(Protocol):
    """Is told of every exchange that was retried, refused, faulted or slow, and of a sample of the others."""

    def record(self, record: ExchangeRecord) -> None:
        """Take note; must not block."""


class Tracer(Protocol):
    """Is told of every exchange that is followed. Where there is none, nothing is followed and nothing is spent."""

    def begins(self) -> bool:
        """Whether a trace begins with a request that brought none; a draw each time."""

    def record(self, trace: ExchangeTrace) -> None:
        """Take note; must not block."""


class ProxyContext:
    """One data plane. Everything here is read on the hot path, so it is plain attributes."""

    __slots__ = (
        "_numbers",
        "_prefix",
        "_via",
        "answer_shapes",
        "answers",
        "busy",
        "clock",
        "connections",
        "dns_lookup_limit",
        "draining",
        "handshake_failures",
        "limits",
        "loop",
        "own_addresses",
        "policy_version",
        "recorder",
        "rejections",
        "request_lines",
        "request_shapes",
        "sample",
        "tracer",
        "tunnels",
        "wall",
        "wheel",
    )

    def __init__(
        self,
        loop: AbstractEventLoop,
        recorder: ExchangeRecorder,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.wall = wall
        self.wheel = Wheel(loop, clock)
        self.recorder = recorder
        self.tracer: Tracer | None = None
        """Set before the first connection, or never."""
        self.limits = WireLimits()
        self.dns_lookup_limit = DnsLookupLimit()
        self.answers: Recent[ResponseHead] = Recent()
        """Heads of responses met lately, as they were read; not of those to a HEAD, which mean something else."""
        self.answer_shapes: Shapes[ResponseShape, ResponseHead] = Shapes(ResponseShape, clock)
        self.request_shapes: Shapes[RequestShape, RequestHead] = Shapes(RequestShape, clock)
        self._prefix = b"x-request-id: " + os.urandom(8).hex().encode("ascii") + b"-%x\r\n"
        self._numbers = itertools.count(1)
        self.request_lines: Iterator[bytes]
        """For each request that brings no id of its own the lines that are added to it: Via, and an id made for it."""
        self.via = b""
        self.policy_version = 0
        self.sample = 0.0
        self.draining = False
        self.busy = 0
        """Exchanges under way, and tunnels."""
        self.connections = 0
        """Client connections that are open."""
        self.tunnels = 0
        """Tunnels that were opened since the start."""
        self.rejections = dict.fromkeys(REASONS, 0)
        """Messages that were refused for their bytes, by reason, since the start."""
        self.handshake_failures: dict[str, int] = {}
        """Callers whose TLS handshake failed, by `wire.handshake`'s words, since the start."""
        self.own_addresses: frozenset[tuple[str, int]] = frozenset()
        """Where this sidecar listens; a request that would go there is a loop."""

    @property
    def via(self) -> bytes:
        """The Via line, ended by CRLF; empty when the policy wants none."""
        return self._via

    @via.setter
    def via(self, line: bytes) -> None:
        self._via = line
        self.request_lines = map((line + self._prefix).__mod__, self._numbers)  # 0.2 µs less than two formats a request

    def own(self, host: str, port: int) -> bool:
        """Whether this is one of our own listeners."""
        addresses = self.own_addresses
        host = host.removeprefix("::ffff:")
        if (host, port) in addresses:
            return True
        # The kernel takes a connection to the unspecified address for one to loopback.
        any_loopback = host in ("localhost", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
        loopback = any_loopback or host.startswith("127.") or host == "::1"
        return (loopback and (("0.0.0.0", port) in addresses or ("::", port) in addresses)) or (  # noqa: S104
            any_loopback and (("127.0.0.1", port) in addresses or ("::1", port) in addresses)
        )
