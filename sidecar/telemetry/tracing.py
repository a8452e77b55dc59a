"""Traces on their way out: a bounded queue in front of a thread that speaks OTLP, so that no exporter harms traffic.

The extra `otel` is imported by that thread, and only where traces are asked for.
"""

import importlib
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Final, Protocol

from sidecar.telemetry.trace import ExchangeTrace

QUEUE_SPANS: Final = 4096
BATCH_TRACES: Final = 32
"""Encoding takes 40 µs a span, and the event loop waits while it lasts: a batch is a millisecond or three."""
SPANS_PER_SECOND: Final = 1000.0
LINGER_SECONDS: Final = 0.5
MIN_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 30.0

_EXTRA = "opentelemetry.exporter.otlp.proto.http"
_log = logging.getLogger("sidecar.tracing")


class TracingUnavailable(Exception):
    """Traces are asked for and can not be had; the message says what to do."""


class SpanExporter(Protocol):
    """Sends traces; called by one thread."""

    def export(self, traces: Sequence[ExchangeTrace]) -> bool:
        """Send them, within a time-out. Whether they were taken; what goes wrong is no exception."""

    def close(self) -> None:
        """Let go of connections. May be called by another thread, while `export` runs: it ends early then."""


class Tracing:
    """Takes ExchangeTraces and exports them in the background, at most SPANS_PER_SECOND. Implements `context.Tracer`.

    `sample` is the share of requests without a traceparent with which a trace begins. `open_exporter` is called by the
    exporting thread. What does not fit in the queue is dropped and counted; while exports fail they are tried after
    pauses that double.
    """

    def __init__(
        self, sample: float, open_exporter: Callable[[], SpanExporter], queue_spans: int = QUEUE_SPANS
    ) -> None:
        self.exported = self.failed = self.dropped = 0  # spans
        self._sample = sample
        self._open_exporter = open_exporter
        self._queue_spans = queue_spans
        self._queue: deque[ExchangeTrace] = deque()
        self._queued = 0  # spans, counted by the loop
        self._taken = 0  # spans, counted by the thread: each count has one writer, and needs no lock
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._exporter: SpanExporter | None = None
        self._thread = threading.Thread(target=self._run, name="trace-exporter", daemon=True)
        self._thread.start()

    @property
    def spans(self) -> Mapping[str, int]:
        """Spans by what became of them."""
        return {"exported": self.exported, "failed": self.failed, "dropped": self.dropped}

    def begins(self) -> bool:
        """Draw whether a trace begins with a request that brought none."""
        return random.random() < self._sample  # noqa: S311 - no secret

    def record(self, trace: ExchangeTrace) -> None:
        """Queue one exchange, or count it when there is no room. Does not block."""
        spans = _spans(trace)
        if self._queued - self._taken + spans > self._queue_spans or self._closing.is_set():
            self.dropped += spans
            return
        self._queued += spans
        self._queue.append(trace)
        if len(self._queue) == 1:
            self._wake.set()

    def close(self, timeout: float) -> bool:
        """Take no more, and wait at most `timeout` seconds for what is queued to be sent. True if all of it was."""
        until = time.monotonic() + timeout
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)
        if self._thread.is_alive() and self._exporter is not None:
            self._exporter.close()
            self._thread.join(max(0.0, until - time.monotonic()))
        return not self._queue and not self._thread.is_alive()

    # The thread

    def _run(self) -> None:
        exporter = self._exporter = self._open_exporter()
        pause = MIN_PAUSE_SECONDS
        while True:
            self._wake.wait()
            self._closing.wait(LINGER_SECONDS)  # what comes in the next moment goes along
            self._wake.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH_TRACES, len(self._queue)))]
                spans = sum(map(_spans, batch))
                if exporter.export(batch):
                    self.exported += spans
                    pause, rest = MIN_PAUSE_SECONDS, spans / SPANS_PER_SECOND
                else:
                    self.failed += spans
                    _log.warning("traces could not be exported; trying again in %.0f s", pause)
                    pause, rest = min(MAX_PAUSE_SECONDS, pause * 2), pause
                self._taken += spans
                if self._closing.wait(rest) and rest >= MIN_PAUSE_SECONDS:
                    break  # no time left for what fails
            if self._closing.is_set():
                exporter.close()
                return


def open_tracing(endpoint: str, sample: float, service: str) -> Tracing:
    """Export to an OTLP/HTTP receiver (`http://collector:4318/v1/traces`). Raises TracingUnavailable."""
    try:
        installed = find_spec(_EXTRA) is not None
    except ModuleNotFoundError:
        installed = False
    if not installed:
        raise TracingUnavailable(
            "telemetry.traces: the extra otel is not installed; install it, or leave the setting out: "
            "pip install 'retry-sidecar[otel]'"
        )

    def open_exporter() -> SpanExporter:
        exporter: SpanExporter = importlib.import_module("sidecar.telemetry.otlp").OtlpExporter(endpoint, service)
        return exporter

    return Tracing(sample, open_exporter)


def _spans(trace: ExchangeTrace) -> int:
    return 1 + len(trace.attempts)
