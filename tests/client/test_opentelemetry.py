from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sidecar.client import CallFailed, Retries
from sidecar.client.opentelemetry import SpanObserver
from tests.client.test_governed import Failing


def test_each_attempt_is_a_span_and_a_refusal_an_event_of_the_callers(retries_of: Callable[..., Retries]) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    payments = retries_of(observer=SpanObserver(tracer))["payments"]

    with tracer.start_as_current_span("checkout"):
        payments.call(Failing(1), idempotent=True)
        with pytest.raises(CallFailed):
            payments.call(Failing(1))

    first, second, third, own = exporter.get_finished_spans()
    assert [span.attributes.get("error.type") for span in (first, second, third) if span.attributes] == [
        "reset",
        None,
        "reset",
    ]
    assert second.attributes is not None
    assert second.attributes["http.request.resend_count"] == 1
    assert {span.parent.span_id for span in (first, second, third) if span.parent} == {own.context.span_id}
    assert [(event.name, dict(event.attributes or {})["reason"]) for event in own.events] == [
        ("sidecar.refusal", "not_idempotent")
    ]
    provider.shutdown()
