"""The state of an exchange, and what is told and remembered of it: observers, the trail of its attempts, its record.

`exchange.Exchange` is one object, in four layers: this one, `answered_exchange` (the answer's way to the client),
`paired_exchange` (two attempts awaited at once) and `exchange` (the attempts). A layer calls only itself and those
below. They are classes of one line and not parts that an exchange has, because each part would be an object and a
call more for every request: 150 ns and 50 ns of its 8 µs.
"""

import math
from typing import Final

from sidecar.engine.outcome import AttemptKind, Fault, Result
from sidecar.engine.retry import RetryState
from sidecar.engine.verdict import Refusal
from sidecar.proxy.attempt_trail import AttemptTrail
from sidecar.proxy.call_routes import CallRoute
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.elder import ElderAttempt
from sidecar.proxy.exchange_phase import ExchangePhase
from sidecar.proxy.held_answer import HeldAnswer
from sidecar.proxy.observer import ExchangeObserver, ExchangeSummary
from sidecar.proxy.pool import PendingConnection
from sidecar.proxy.replay import ReplayBuffer
from sidecar.proxy.response_writer import ResponseWriter
from sidecar.proxy.route import Route
from sidecar.proxy.stream import ConnectionOwner, Stream
from sidecar.telemetry.record import ExchangeRecord
from sidecar.wire.handshake import HandshakeFailure
from sidecar.wire.head import RequestHead
from sidecar.wire.traceparent import parse_traceparent

_ID_FIELD: Final = b"x-request-id: "
_FIRST: Final = AttemptKind.FIRST
_SUCCESS: Final = Result.SUCCESS
_WAITING: Final = ExchangePhase.WAITING
_OVER: Final = ExchangePhase.OVER


class RecordedExchange:
    """The lowest layer of an exchange: all that it knows."""

    __slots__ = (
        "_added",
        "_address",
        "_backoff",
        "_body",
        "_body_moment",
        "_call",
        "_connecting",
        "_context",
        "_elder",
        "_fault",
        "_head",
        "_held",
        "_kind",
        "_observer",
        "_overdue",
        "_refusal",
        "_route",
        "_status",
        "_stream",
        "_trail",
        "_trailers",
        "_tried",
        "_unjudged",
        "_writer",
        "engine",
        "phase",
    )

    engine: RetryState
    """The engine's side of it, which decides. It knows nothing of this one but where `host` leads while it waits."""
    phase: ExchangePhase
    _call: CallRoute | None
    """The route of the destination that the request is on; None for most."""
    _stream: Stream | None
    _address: ConnectionOwner | None
    _tried: tuple[ConnectionOwner, ...]
    _connecting: PendingConnection | None
    _body: ReplayBuffer | None
    _trailers: bytes | None
    _held: HeldAnswer | None
    _elder: ElderAttempt | None
    _fault: Fault | HandshakeFailure | None
    _refusal: Refusal | None
    _trail: AttemptTrail | None
    _observer: ExchangeObserver | None

    def __init__(
        self,
        context: ProxyContext,
        writer: ResponseWriter,
        route: Route,
        head: RequestHead,
        now: float,
        observer: ExchangeObserver | None = None,
    ) -> None:
        engine = self.engine = RetryState(route.destination, now, math.inf)
        if route.calls.routes and (call := route.calls.find(head.method, head.target)) is not None:
            self._call = call
            policy = engine.policy = call.policy
            engine.lateness = call.lateness
            engine.deadline = now + policy.timeout
        else:
            self._call = None
            policy = engine.policy
        if head.method not in policy.retry.wire_methods:  # most are idempotent: 80 ns less than to ask
            engine.repeatable_until = now + policy.repeatable_for(head.method, keyed=head.keyed)
        self._context = context
        context.busy += 1
        self._writer = writer
        self._route = route
        self._head = head
        self._observer = observer
        self.phase = _WAITING
        self._kind = _FIRST
        self._stream = self._address = self._connecting = self._body = None
        self._held = self._elder = self._fault = self._refusal = self._trail = None
        self._tried = ()
        self._trailers = b""
        """Of the request; None while its body is still to come."""
        self._backoff = 0.0
        self._status = 0
        self._overdue = self._unjudged = False
        self._added = context.via if head.request_id else next(context.request_lines)

    # Told and remembered

    def _refused(self, refusal: Refusal | None, now: float) -> None:
        self._refusal = refusal
        if refusal is not None and self._observer is not None:
            self._observer.on_refusal(now, refusal)

    def _end(self, now: float, result: Result) -> None:
        self.phase = _OVER
        self._writer.timer.at = math.inf
        self._context.busy -= 1
        self.engine.finish(now, result)
        if (call := self._call) is not None:
            call.requests[result] += 1
            call.attempts += self.engine.attempts
        if self._trail is not None or self._refusal is not None or self._overdue or self._context.sample:
            self._record(now, result)
        observer = self._observer
        if observer is not None:
            self._observer = None
            observer.on_end(now, ExchangeSummary(self._status, result, self._refusal, self._request_id()))

    def _attempt_over(self, now: float, outcome: str, number: int = 0, began: float = -1.0) -> None:
        """The current attempt came to something other than a good answer, or was not the only one.

        `number` and `began` where it is the current one no longer.
        """
        number = number or self.engine.attempt_number
        if self._observer is not None:
            self._observer.on_outcome(now, number, outcome, self._address)
        self._note(now, outcome, number, began)

    def _elder_over(self, now: float, outcome: str) -> None:
        """The elder is awaited no longer."""
        elder, self._elder = self._elder, None
        assert elder is not None
        if self._observer is not None:
            self._observer.on_outcome(now, elder.number, outcome, elder.address)
        self._append(now, outcome, elder.number, elder.kind, elder.address, elder.backoff, elder.began, late=True)

    def _note(self, now: float, outcome: str, number: int, began: float = -1.0) -> None:
        """Remember the current attempt for the record."""
        if began < 0.0:
            began = self.engine.attempt_began
        self._append(now, outcome, number, self._kind, self._address, self._backoff, began, late=self._overdue)

    def _append(
        self,
        now: float,
        outcome: str,
        number: int,
        kind: AttemptKind,
        address: ConnectionOwner | None,
        backoff: float,
        began: float,
        *,
        late: bool,
    ) -> None:
        if self._trail is None:
            self._trail = AttemptTrail(self.engine.began)
        self._trail.add(number, kind, address, outcome, began=began, ended=now, backoff=backoff, late=late)

    def _record(self, now: float, result: Result) -> None:
        context = self._context
        engine = self.engine
        destination = engine.destination
        trail = self._trail
        if not (trail or self._refusal is not None or self._overdue or self._sampled()):
            return
        head = self._head
        context.recorder.record(
            ExchangeRecord(
                destination=self._route.name,
                method=head.method.decode("ascii"),
                target=head.target.partition(b"?")[0].decode("ascii", "replace"),
                status=self._status,
                result=result.label,
                seconds=now - engine.began,
                attempts=() if trail is None else trail.attempts,
                refusal=None if self._refusal is None else self._refusal.value,
                budget_balance=destination.budget.balance(now),
                breaker=destination.breaker.state(now).value,
                route=None if self._call is None else self._call.name,
                policy_version=context.policy_version,
                request_id=self._request_id(),
                trace_id=_trace_id(head.trace),
            )
        )

    def _request_id(self) -> str:
        """The request's id: the caller's, or the one that was added for it."""
        return (self._head.request_id or self._added.rpartition(_ID_FIELD)[2][:-2]).decode("latin-1")

    def _sampled(self) -> bool:
        """A stable share of the successes, by their number."""
        sample = self._context.sample
        return sample > 0 and (self.engine.destination.tally.requests[_SUCCESS] * sample) % 1.0 < sample


def _trace_id(traceparent: bytes) -> str | None:
    context = parse_traceparent(traceparent)
    return None if context is None else f"{context.trace_id:032x}"
