"""An exchange with a shadow: carried out under the policy in force, and followed under a candidate (`dry_run`).

Only exchanges of destinations that have a candidate are of this kind; all others do not know that there is one.
"""

from typing import cast

from sidecar.engine import retry
from sidecar.engine.outcome import Fault, Result
from sidecar.engine.retry import Admission
from sidecar.engine.shadow import ShadowExchange
from sidecar.engine.verdict import Refusal, Verdict
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.exchange import Exchange, ResponseWriter
from sidecar.proxy.route import Route
from sidecar.proxy.traced import TracedExchange, new_exchange
from sidecar.wire.head import RequestHead


def new_shadowed_exchange(
    context: ProxyContext, writer: ResponseWriter, route: Route, head: RequestHead, now: float
) -> Exchange:
    """The exchange for a request to a destination that has a candidate."""
    shadow = route.shadow
    assert shadow is not None
    exchange: Exchange
    if context.tracer is None:
        exchange = ShadowedExchange(context, writer, route, head, now)
    else:
        exchange = new_exchange(
            context, writer, route, head, now, plain=ShadowedExchange, traced=ShadowedTracedExchange
        )
    until = now + shadow.destination.policy.repeatable_for(head.method, keyed=head.keyed)
    followed = cast("ShadowedExchange | ShadowedTracedExchange", exchange)
    followed.shadow = ShadowExchange(shadow, exchange, now, until)
    return exchange


class _Followed(retry.Exchange):
    """Tells the shadow of every decision of the engine, after it was made."""

    __slots__ = ()
    shadow: ShadowExchange

    def admit(self, now: float) -> Admission | Refusal:
        decided = super().admit(now)
        self.shadow.admitted(now, decided)
        return decided

    def wake(self, now: float) -> Admission | Refusal:
        decided = super().wake(now)
        if isinstance(decided, Refusal):  # else `admit` has told
            self.shadow.admitted(now, decided)
        return decided

    def depart(self, now: float) -> Admission | Refusal:
        decided = super().depart(now)
        self.shadow.departed(now, decided)
        return decided

    def reconnect(self, now: float) -> bool:
        again = super().reconnect(now)
        if again:
            self.shadow.reconnected(now)
        return again

    def on_status(self, now: float, status: int, retry_after: float | None) -> Verdict:
        decided = super().on_status(now, status, retry_after)
        self.shadow.answered(now, status, retry_after, decided)
        return decided

    def on_fault(self, now: float, fault: Fault, *, sent: bool) -> Verdict:
        decided = super().on_fault(now, fault, sent=sent)
        self.shadow.faulted(now, fault, decided, sent=sent)
        return decided

    def on_slow(self, now: float) -> Verdict:
        decided = super().on_slow(now)
        self.shadow.slow(now, decided)
        return decided

    def abandon(self, now: float) -> None:
        super().abandon(now)
        self.shadow.over(now)

    def finish(self, now: float, result: Result) -> None:
        super().finish(now, result)
        self.shadow.over(now)


class ShadowedExchange(_Followed, Exchange):
    """One that is not traced."""

    __slots__ = ("shadow",)


class ShadowedTracedExchange(_Followed, TracedExchange):
    """One that is traced."""

    __slots__ = ("shadow",)
