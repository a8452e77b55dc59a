"""Traces as OpenTelemetry's spans, sent by its own exporter over OTLP/HTTP.

The only module that imports the extra `otel`; `tracing` imports it when traces are configured. The exporter obeys
the usual variables (OTEL_EXPORTER_OTLP_HEADERS, …_CERTIFICATE, …_TIMEOUT, …_COMPRESSION, OTEL_RESOURCE_ATTRIBUTES).
Names of attributes are those of the semantic conventions for HTTP; our own begin with `sidecar.`.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from sidecar import __version__
from sidecar.telemetry.trace import AttemptSpan, ExchangeTrace

_SCOPE: Final = InstrumentationScope("sidecar", __version__)
_KNOWN_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)

Attributes = dict[str, str | int | float]


class OtlpExporter:
    """Exports to one receiver, by its full URL. `service` is what the spans are of. Implements `tracing.Exporter`."""

    def __init__(self, endpoint: str, service: str) -> None:
        session = requests.Session()
        session.trust_env = False  # HTTP_PROXY is likely to name this very sidecar
        self._exporter = OTLPSpanExporter(endpoint=endpoint, session=session)
        self._closed = False
        self._resource = Resource.create({"service.name": service})

    def export(self, traces: Sequence[ExchangeTrace]) -> bool:
        """Send them; False when the receiver did not take them."""
        epoch = time.time() - time.monotonic()
        spans = [span for trace in traces for span in spans_of(trace, self._resource, epoch)]
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """End a wait between two tries, and close connections. Again is no harm."""
        if not self._closed:
            self._closed = True
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


def spans_of(trace: ExchangeTrace, resource: Resource, epoch: float) -> Iterator[ReadableSpan]:
    """The exchange's SERVER span, and a CLIENT span for each attempt. `epoch` added to our instants is Unix time."""

    def span(
        span_id: int,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Attributes,
        times: tuple[float, float],
        *,
        failed: bool,
        events: Sequence[Event] = (),
    ) -> ReadableSpan:
        return ReadableSpan(
            name=f"{method} {trace.destination}",
            context=_context(trace, span_id),
            parent=parent,
            resource=resource,
            attributes=attributes,
            events=events,
            kind=kind,
            instrumentation_scope=_SCOPE,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=_nanoseconds(times[0], epoch),
            end_time=_nanoseconds(times[1], epoch),
        )

    method = trace.method if trace.method in _KNOWN_METHODS else "HTTP"
    parent = _context(trace, trace.parent_id, remote=True) if trace.parent_id else None
    yield span(
        trace.span_id,
        parent,
        SpanKind.SERVER,
        _of_exchange(trace),
        (trace.began, trace.ended),
        failed=trace.status == 0 or trace.status >= 500,
        events=[
            Event(event.name, _prefixed(event.attributes), _nanoseconds(event.at, epoch)) for event in trace.events
        ],
    )
    own = _context(trace, trace.span_id)
    for attempt in trace.attempts:
        status = int(attempt.outcome) if attempt.outcome.isdigit() else 0
        yield span(
            attempt.span_id,
            own,
            SpanKind.CLIENT,
            _of_attempt(trace, attempt, status),
            (attempt.began, attempt.ended),
            failed=not 100 <= status < 400,
        )


def _of_exchange(trace: ExchangeTrace) -> Attributes:
    attributes: Attributes = {
        **_of_method(trace.method),
        "url.scheme": "http",
        "url.path": trace.path,
        "sidecar.destination": trace.destination,
        "sidecar.outcome": trace.result,
        "sidecar.attempts": len(trace.attempts),
        "sidecar.policy_version": trace.policy_version,
        "sidecar.request_id": trace.request_id,
    }
    if trace.status:
        attributes["http.response.status_code"] = trace.status
    if trace.status == 0 or trace.status >= 500:
        attributes["error.type"] = str(trace.status) if trace.status else trace.result
    if trace.refusal is not None:
        attributes["sidecar.refusal"] = trace.refusal
    return attributes


def _of_attempt(trace: ExchangeTrace, attempt: AttemptSpan, status: int) -> Attributes:
    host = f"[{attempt.host}]" if ":" in attempt.host else attempt.host
    attributes: Attributes = {
        **_of_method(trace.method),
        "server.address": attempt.host,
        "server.port": attempt.port,
        "url.full": f"{attempt.scheme}://{host}:{attempt.port}{trace.path}",
        "sidecar.destination": trace.destination,
        "sidecar.attempt.kind": attempt.kind,
    }
    if status:
        attributes["http.response.status_code"] = status
    if not 100 <= status < 400:
        attributes["error.type"] = attempt.outcome
    if attempt.resend:
        attributes["http.request.resend_count"] = attempt.resend
    return attributes


def _of_method(method: str) -> Attributes:
    if method in _KNOWN_METHODS:
        return {"http.request.method": method}
    return {"http.request.method": "_OTHER", "http.request.method_original": method}


def _prefixed(attributes: Mapping[str, str | float]) -> Attributes:
    return {f"sidecar.{name}": value for name, value in attributes.items()}


def _context(trace: ExchangeTrace, span_id: int, *, remote: bool = False) -> SpanContext:
    return SpanContext(trace.trace_id, span_id, is_remote=remote, trace_flags=TraceFlags(trace.flags))


def _nanoseconds(instant: float, epoch: float) -> int:
    return int((instant + epoch) * 1e9)
