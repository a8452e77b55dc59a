"""An exchange carried out under the policy in force, and followed under a candidate (`dry_run`).

Only exchanges of destinations that have a candidate are followed so.
"""

from sidecar.engine.outcome import Fault
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.shadow import Shadow, ShadowExchange
from sidecar.engine.verdict import Refusal, Verdict
from sidecar.proxy.call_routes import CallRoutes
from sidecar.proxy.observer import ExchangeObserver, ExchangeSummary
from sidecar.wire.head import RequestHead


class DryRun(ExchangeObserver):
    """Tells the candidate's shadow of every decision of the engine, after it was made."""

    __slots__ = ("_calls", "_head", "_shadow", "_twin")

    _twin: ShadowExchange

    def __init__(self, shadow: Shadow, head: RequestHead, calls: CallRoutes) -> None:
        """`calls` are the routes of the candidate, or of what is observed."""
        self._calls = calls
        self._shadow = shadow
        self._head = head

    def on_begin(self, engine: RetryState, now: float) -> None:
        policy = self._shadow.destination.policy
        call = self._calls.find(self._head.method, self._head.target) if self._calls.routes else None
        if call is not None:
            policy = call.declared or call.policy
        until = now + policy.repeatable_for(self._head.method, keyed=self._head.keyed)
        self._twin = ShadowExchange(self._shadow, engine, now, until, policy)

    def on_admission(self, now: float, admission: Admission | Refusal) -> None:
        self._twin.admitted(now, admission)

    def on_status(self, now: float, status: int, retry_after: float | None, verdict: Verdict) -> None:
        self._twin.answered(now, status, retry_after, verdict)

    def on_fault(self, now: float, fault: Fault, verdict: Verdict, *, sent: bool) -> None:
        self._twin.faulted(now, fault, verdict, sent=sent)

    def on_elder_status(self, now: float, status: int, retry_after: float | None, verdict: Verdict) -> None:
        self._twin.elder_answered(now, status, retry_after, verdict)

    def on_elder_fault(self, now: float, fault: Fault, verdict: Verdict, *, sent: bool) -> None:
        self._twin.elder_faulted(now, fault, verdict, sent=sent)

    def on_deadline(self, now: float, verdict: Verdict, *, sent: bool) -> None:
        self._twin.timed_out(now, verdict, sent=sent)

    def on_slow(self, now: float, verdict: Verdict) -> None:
        self._twin.slow(now, verdict)

    def on_departure(self, now: float, admission: Admission | Refusal) -> None:
        self._twin.departed(now, admission)

    def on_reconnect(self, now: float) -> None:
        self._twin.reconnected(now)

    def on_abandon(self, now: float) -> None:
        self._twin.over(now)

    def on_end(self, now: float, summary: ExchangeSummary) -> None:
        self._twin.over(now)
