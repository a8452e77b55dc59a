"""Spans of OpenTelemetry for the attempts of calls: `load(file, observer=SpanObserver())`.

One CLIENT span for each attempt, a child of the caller's span, with the attributes that the sidecar gives its own.
"""

from threading import Lock
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

RESENDS: Final = "http.request.resend_count"
STATUS: Final = "http.response.status_code"
ERROR: Final = "error.type"
DESTINATION: Final = "sidecar.destination"
REFUSAL: Final = "sidecar.refusal"
_GOOD: Final = frozenset({"success", "called_off"})


class SpanObserver:
    """A CallObserver. `tracer` None: the global provider's."""

    def __init__(self, tracer: trace.Tracer | None = None) -> None:
        self._tracer = trace.get_tracer("sidecar.client") if tracer is None else tracer
        self._lock = Lock()
        self._spans: dict[tuple[str, int], dict[int, Span]] = {}

    def on_attempt(self, destination: str, call: int, number: int, began: float) -> None:
        """Begin a span."""
        del began
        attributes: dict[str, str | int] = {DESTINATION: destination}
        if number > 1:
            attributes[RESENDS] = number - 1
        span = self._tracer.start_span(f"{destination} attempt", kind=SpanKind.CLIENT, attributes=attributes)
        with self._lock:
            self._spans.setdefault((destination, call), {})[number] = span

    def on_outcome(self, destination: str, call: int, number: int, outcome: str, seconds: float) -> None:
        """End it, with what it came to."""
        del seconds
        with self._lock:
            span = self._spans[destination, call].pop(number)
        if outcome.isdigit():
            span.set_attribute(STATUS, int(outcome))
        if outcome not in _GOOD:
            span.set_attribute(ERROR, outcome)
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def on_end(self, destination: str, call: int, attempts: int, refusal: str | None) -> None:
        """Say on the caller's own span why there was no other attempt."""
        del attempts
        with self._lock:
            self._spans.pop((destination, call), None)
        if refusal is not None:
            trace.get_current_span().add_event(REFUSAL, {"reason": refusal, DESTINATION: destination})
