"""An exchange that is followed: the same in all it does, with a span for itself and one for each attempt.

Which requests are followed is their callers' choice (the sampled flag of traceparent), and the tracer's where they made
none. All others are plain exchanges, and traceparent passes them byte for byte.
"""

from copy import copy
from random import getrandbits
from typing import Final

from sidecar.engine.outcome import AttemptKind, Result
from sidecar.engine.trace import AttemptSpan, ExchangeTrace, TraceEvent
from sidecar.engine.verdict import Refusal, Retry
from sidecar.proxy.context import ProxyContext, Tracer
from sidecar.proxy.exchange import Exchange, ResponseWriter
from sidecar.proxy.route import Route
from sidecar.proxy.upstream import ConnectionOwner, Upstream
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.traceparent import SAMPLED, TraceContext, count, parse_traceparent, without

_PARENT: Final = frozenset({b"traceparent"})
_CONTEXT: Final = frozenset({b"traceparent", b"tracestate"})


def new_exchange(
    context: ProxyContext,
    writer: ResponseWriter,
    route: Route,
    head: RequestHead,
    now: float,
    *,
    plain: "type[Exchange]" = Exchange,
    traced: "type[TracedExchange] | None" = None,
) -> Exchange:
    """The exchange for a request where there is a tracer: followed, or a plain one."""
    tracer = context.tracer
    assert tracer is not None
    trace_context = None
    if head.trace and count(head.fields, b"traceparent") == 1:
        trace_context = parse_traceparent(head.trace)
    if trace_context is None:
        if not tracer.begins():
            return plain(context, writer, route, head, now)
        trace_context = TraceContext(getrandbits(128) or 1, 0, SAMPLED)
        dropped = _CONTEXT  # a tracestate belongs to its traceparent
    elif trace_context.sampled:
        dropped = _PARENT
    else:
        return plain(context, writer, route, head, now)
    head = copy(head)  # the one that was read may serve other requests, with the same bytes
    head.onward = without(head.onward, dropped)
    return (traced or TracedExchange)(context, writer, route, head, now, trace_context, tracer)


class TracedExchange(Exchange):
    """One request whose attempts are told of as spans. `context` is what its caller sent, or a new trace."""

    __slots__ = ("_attempts", "_events", "_span_id", "_told", "_trace_context", "_tracer", "_untraced")

    def __init__(
        self,
        context: ProxyContext,
        writer: ResponseWriter,
        route: Route,
        head: RequestHead,
        now: float,
        trace_context: TraceContext,
        tracer: Tracer,
    ) -> None:
        super().__init__(context, writer, route, head, now)
        self._trace_context = trace_context
        self._tracer = tracer
        self._span_id = getrandbits(64) or 1
        self._untraced = self._wire
        self._attempts: list[_Attempt] = []
        self._events: list[TraceEvent] = []
        self._told: Refusal | None = None
        if not trace_context.parent_id:
            head.trace = trace_context.line(self._span_id)[13:-2]  # so that log lines name the trace

    # The exchange's own steps, in their order

    def _attempt(self, now: float) -> None:
        attempt = _Attempt(getrandbits(64) or 1, AttemptKind(self._kind).label, self.attempts - 1, now)
        self._attempts.append(attempt)
        super()._attempt(now)
        attempt.address = self._address

    def _send(self, upstream: Upstream) -> None:
        attempt = self._attempts[-1]
        attempt.address = self._address  # for a connection that had to be opened: where it was in the end
        self._wire = self._untraced + self._trace_context.line(attempt.span_id)
        super()._send(upstream)

    def on_response(self, head: ResponseHead, body: bytes, complete: bool) -> None:  # noqa: FBT001 - see ResponseReceiver
        """A response head: the attempt's span ends."""
        now = self._context.clock()
        self._attempts[-1].end(now, str(head.status))
        super().on_response(head, body, complete)
        self._look_for_refusal(now)

    def _note(self, now: float, outcome: str) -> None:
        self._attempts[-1].end(now, outcome)
        super()._note(now, outcome)

    def _late(self, now: float) -> None:
        super()._late(now)
        self._look_for_refusal(now)

    def _back_off(self, verdict: Retry, now: float) -> None:
        self._events.append(TraceEvent("backoff", now, {"seconds": verdict.delay, "cause": verdict.cause}))
        super()._back_off(verdict, now)

    def _depart(self, now: float) -> None:
        super()._depart(now)
        self._look_for_refusal(now)

    def _end(self, now: float, result: Result) -> None:
        self._look_for_refusal(now)
        self._wire = self._untraced  # which names the request
        super()._end(now, result)
        self._tracer.record(self._trace(now, result))

    def _look_for_refusal(self, now: float) -> None:
        refusal = self._refusal
        if refusal is not None and refusal is not self._told:
            self._events.append(TraceEvent("refusal", now, {"reason": refusal.value}))
        self._told = refusal

    def _trace(self, now: float, result: Result) -> ExchangeTrace:
        head = self._head
        for attempt in self._attempts:
            attempt.end(now, result.label)  # no answer of its own: refused here, as a request that would come back
        return ExchangeTrace(
            trace_id=self._trace_context.trace_id,
            parent_id=self._trace_context.parent_id,
            span_id=self._span_id,
            flags=self._trace_context.flags,
            destination=self._route.name,
            method=head.method.decode("ascii"),
            path=head.target.partition(b"?")[0].decode("ascii", "replace"),
            status=self._status,
            result=result.label,
            refusal=None if self._refusal is None else self._refusal.value,
            policy_version=self._context.policy_version,
            request_id=self._identity(),
            began=self.began,
            ended=now,
            attempts=tuple(attempt.span() for attempt in self._attempts),
            events=tuple(self._events),
        )


class _Attempt:
    """A span that has begun."""

    __slots__ = ("address", "began", "ended", "kind", "outcome", "resend", "span_id")

    def __init__(self, span_id: int, kind: str, resend: int, began: float) -> None:
        self.span_id = span_id
        self.kind = kind
        self.resend = resend
        self.began = began
        self.ended = began
        self.outcome = ""
        self.address: ConnectionOwner | None = None

    def end(self, now: float, outcome: str) -> None:
        """It is over, if it was not already."""
        if not self.outcome:
            self.outcome = outcome
            self.ended = max(self.began, now)

    def span(self) -> AttemptSpan:
        """What is told of it."""
        assert self.address is not None
        endpoint = self.address.endpoint
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
