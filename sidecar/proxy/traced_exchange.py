"""An exchange that is traced: a span for itself and one for each attempt.

Which requests are traced is their callers' choice (the sampled flag of traceparent), and the tracer's where they made
none. traceparent of all others passes byte for byte.
"""

from copy import copy
from random import getrandbits
from typing import Final

from sidecar.engine.outcome import AttemptKind
from sidecar.engine.retry import RetryState
from sidecar.engine.verdict import Refusal, Retry, Verdict
from sidecar.proxy.context import ProxyContext, Tracer
from sidecar.proxy.observer import ExchangeObserver, ExchangeSummary
from sidecar.proxy.stream import ConnectionOwner
from sidecar.telemetry.trace import AttemptSpan, ExchangeTrace, TraceEvent
from sidecar.wire.head import RequestHead
from sidecar.wire.traceparent import SAMPLED, TraceContext, count, parse_traceparent, without

_PARENT: Final = frozenset({b"traceparent"})
_CONTEXT: Final = frozenset({b"traceparent", b"tracestate"})


def traced(
    context: ProxyContext, tracer: Tracer, name: str, head: RequestHead
) -> tuple[RequestHead, "TracedExchange"] | None:
    """The head to be sent and the trace to be kept of a request to destination `name`; None when it is not traced."""
    trace_context = None
    if head.trace and count(head.fields, b"traceparent") == 1:
        trace_context = parse_traceparent(head.trace)
    if trace_context is None:
        if not tracer.begins():
            return None
        trace_context = TraceContext(getrandbits(128) or 1, 0, SAMPLED)
        dropped = _CONTEXT  # a tracestate belongs to its traceparent
    elif trace_context.sampled:
        dropped = _PARENT
    else:
        return None
    head = copy(head)  # the one that was read may serve other requests, with the same bytes
    head.fields = without(head.fields, dropped)
    head.onward = b""
    observer = TracedExchange(context, tracer, name, head, trace_context)
    if not trace_context.parent_id:
        head.trace = trace_context.line(observer.span_id)[13:-2]  # so that log lines name the trace
    return head, observer


class TracedExchange(ExchangeObserver):
    """The spans of one exchange. `trace_context` is what its caller sent, or a new trace."""

    __slots__ = ("_attempts", "_began", "_context", "_events", "_head", "_name", "_trace_context", "_tracer", "span_id")

    def __init__(
        self, context: ProxyContext, tracer: Tracer, name: str, head: RequestHead, trace_context: TraceContext
    ) -> None:
        self._context = context
        self._tracer = tracer
        self._name = name
        self._head = head
        self._trace_context = trace_context
        self.span_id = getrandbits(64) or 1
        self._began = 0.0
        self._attempts: dict[int, _Attempt] = {}
        self._events: list[TraceEvent] = []

    def on_begin(self, engine: RetryState, now: float) -> None:
        self._began = now

    def on_attempt(self, now: float, number: int, kind: AttemptKind, owner: ConnectionOwner) -> None:
        self._attempts[number] = _Attempt(getrandbits(64) or 1, kind.label, number - 1, now, owner)

    def fields(self, number: int, owner: ConnectionOwner) -> bytes:
        attempt = self._attempts[number]
        attempt.owner = owner
        return self._trace_context.line(attempt.span_id)

    def on_outcome(self, now: float, number: int, outcome: str, owner: ConnectionOwner | None) -> None:
        self._attempts[number].end(now, outcome, owner)

    def on_status(self, now: float, status: int, retry_after: float | None, verdict: Verdict) -> None:
        self._back_off(now, verdict)

    def on_fault(self, now: float, fault: object, verdict: Verdict, *, sent: bool) -> None:
        self._back_off(now, verdict)

    def on_slow(self, now: float, verdict: Verdict) -> None:
        self._back_off(now, verdict)

    def on_refusal(self, now: float, refusal: Refusal) -> None:
        self._events.append(TraceEvent("refusal", now, {"reason": refusal.value}))

    def on_end(self, now: float, summary: ExchangeSummary) -> None:
        head = self._head
        for attempt in self._attempts.values():
            # One without an answer of its own: refused here, as a request that would come back.
            attempt.end(now, summary.result.label, None)
        self._tracer.record(
            ExchangeTrace(
                trace_id=self._trace_context.trace_id,
                parent_id=self._trace_context.parent_id,
                span_id=self.span_id,
                flags=self._trace_context.flags,
                destination=self._name,
                method=head.method.decode("ascii"),
                path=head.target.partition(b"?")[0].decode("ascii", "replace"),
                status=summary.status,
                result=summary.result.label,
                refusal=None if summary.refusal is None else summary.refusal.value,
                policy_version=self._context.policy_version,
                request_id=summary.request_id,
                began=self._began,
                ended=now,
                attempts=tuple(attempt.span() for attempt in self._attempts.values()),
                events=tuple(self._events),
            )
        )

    def _back_off(self, now: float, verdict: Verdict) -> None:
        if isinstance(verdict, Retry):
            self._events.append(TraceEvent("backoff", now, {"seconds": verdict.delay, "cause": verdict.cause}))


class _Attempt:
    """A span that has begun."""

    __slots__ = ("began", "ended", "kind", "outcome", "owner", "resend", "span_id")

    def __init__(self, span_id: int, kind: str, resend: int, began: float, owner: ConnectionOwner) -> None:
        self.span_id = span_id
        self.kind = kind
        self.resend = resend
        self.began = began
        self.ended = began
        self.outcome = ""
        self.owner = owner

    def end(self, now: float, outcome: str, owner: ConnectionOwner | None) -> None:
        """It is over, if it was not already."""
        if owner is not None:
            self.owner = owner
        if not self.outcome:
            self.outcome = outcome
            self.ended = max(self.began, now)

    def span(self) -> AttemptSpan:
        """The span of this attempt."""
        endpoint = self.owner.endpoint
        return AttemptSpan(
            span_id=self.span_id,
            kind=self.kind,
            resend=self.resend,
            host=endpoint.host,
            port=endpoint.port,
            scheme=endpoint.scheme,
            outcome=self.outcome,
            began=self.began,
            ended=self.ended,
        )
