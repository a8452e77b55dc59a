"""The observer protocol of one exchange, for tracing, dry runs and whatever else follows single exchanges.

An exchange has at most one observer, and most have none: one without an observer pays for a comparison with None at
each of its steps, 15 ns. Two that follow the same exchange are a `PairOfObservers`.
"""

from msgspec import Struct

from sidecar.engine.outcome import AttemptKind, Fault, Result
from sidecar.engine.retry import Admission, RetryState
from sidecar.engine.verdict import Refusal, Verdict
from sidecar.proxy.stream import ConnectionOwner


class ExchangeSummary(Struct, frozen=True):
    """The end of an exchange. `status` is 0 when the client left before there was one."""

    status: int
    result: Result
    refusal: Refusal | None
    request_id: str


class ExchangeObserver:
    """Does nothing; those that follow exchanges overrule what they want to know. Called after each decision is made.

    Attempts are told apart by their number, counted from 1. Instants are monotonic seconds.
    """

    __slots__ = ()

    def on_begin(self, engine: RetryState, now: float) -> None:
        """Before the original asks for admission."""

    def on_admission(self, now: float, admission: Admission | Refusal) -> None:
        """The original is sent, waits, or is refused."""

    def on_attempt(self, now: float, number: int, kind: AttemptKind, owner: ConnectionOwner) -> None:
        """An attempt begins, towards `owner` unless another address of the same endpoint is quicker."""

    def fields(self, number: int, owner: ConnectionOwner) -> bytes:
        """Field lines to be added to the request of an attempt that is about to be sent to `owner`."""
        del number, owner
        return b""

    def on_outcome(self, now: float, number: int, outcome: str, owner: ConnectionOwner | None) -> None:
        """An attempt is over: a status in digits, a fault's word, `stale` or `abandoned`."""

    def on_status(self, now: float, status: int, retry_after: float | None, verdict: Verdict) -> None:
        """The verdict on a response's status."""

    def on_fault(self, now: float, fault: Fault, verdict: Verdict, *, sent: bool) -> None:
        """The verdict on a fault."""

    def on_elder_status(self, now: float, status: int, retry_after: float | None, verdict: Verdict) -> None:
        """The verdict on a response's status, of the late attempt that goes on beside its retry."""

    def on_elder_fault(self, now: float, fault: Fault, verdict: Verdict, *, sent: bool) -> None:
        """The verdict on its fault."""

    def on_deadline(self, now: float, verdict: Verdict, *, sent: bool) -> None:
        """The deadline has passed, and whatever was in flight is over: a fault, if not told apart."""
        self.on_fault(now, Fault.TIMEOUT, verdict, sent=sent)

    def on_slow(self, now: float, verdict: Verdict) -> None:
        """The decision about an attempt that has not been answered for longer than usual."""

    def on_departure(self, now: float, admission: Admission | Refusal) -> None:
        """The back-off is over: the retry leaves, or is refused after all."""

    def on_reconnect(self, now: float) -> None:
        """The request is sent once more, on a fresh connection."""

    def on_refusal(self, now: float, refusal: Refusal) -> None:
        """A wanted retry, or the original, was refused."""

    def on_abandon(self, now: float) -> None:
        """The client has left, or its request was malformed."""

    def on_end(self, now: float, summary: ExchangeSummary) -> None:
        """The exchange is over."""


class PairOfObservers(ExchangeObserver):
    """Two that follow the same exchange, told in this order."""

    __slots__ = ("_one", "_other")

    def __init__(self, one: ExchangeObserver, other: ExchangeObserver) -> None:
        self._one = one
        self._other = other

    def on_begin(self, engine: RetryState, now: float) -> None:
        self._one.on_begin(engine, now)
        self._other.on_begin(engine, now)

    def on_admission(self, now: float, admission: Admission | Refusal) -> None:
        self._one.on_admission(now, admission)
        self._other.on_admission(now, admission)

    def on_attempt(self, now: float, number: int, kind: AttemptKind, owner: ConnectionOwner) -> None:
        self._one.on_attempt(now, number, kind, owner)
        self._other.on_attempt(now, number, kind, owner)

    def fields(self, number: int, owner: ConnectionOwner) -> bytes:
        return self._one.fields(number, owner) + self._other.fields(number, owner)

    def on_outcome(self, now: float, number: int, outcome: str, owner: ConnectionOwner | None) -> None:
        self._one.on_outcome(now, number, outcome, owner)
        self._other.on_outcome(now, number, outcome, owner)

    def on_status(self, now: float, status: int, retry_after: float | None, verdict: Verdict) -> None:
        self._one.on_status(now, status, retry_after, verdict)
        self._other.on_status(now, status, retry_after, verdict)

    def on_fault(self, now: float, fault: Fault, verdict: Verdict, *, sent: bool) -> None:
        self._one.on_fault(now, fault, verdict, sent=sent)
        self._other.on_fault(now, fault, verdict, sent=sent)

    def on_elder_status(self, now: float, status: int, retry_after: float | None, verdict: Verdict) -> None:
        self._one.on_elder_status(now, status, retry_after, verdict)
        self._other.on_elder_status(now, status, retry_after, verdict)

    def on_elder_fault(self, now: float, fault: Fault, verdict: Verdict, *, sent: bool) -> None:
        self._one.on_elder_fault(now, fault, verdict, sent=sent)
        self._other.on_elder_fault(now, fault, verdict, sent=sent)

    def on_deadline(self, now: float, verdict: Verdict, *, sent: bool) -> None:
        self._one.on_deadline(now, verdict, sent=sent)
        self._other.on_deadline(now, verdict, sent=sent)

    def on_slow(self, now: float, verdict: Verdict) -> None:
        self._one.on_slow(now, verdict)
        self._other.on_slow(now, verdict)

    def on_departure(self, now: float, admission: Admission | Refusal) -> None:
        self._one.on_departure(now, admission)
        self._other.on_departure(now, admission)

    def on_reconnect(self, now: float) -> None:
        self._one.on_reconnect(now)
        self._other.on_reconnect(now)

    def on_refusal(self, now: float, refusal: Refusal) -> None:
        self._one.on_refusal(now, refusal)
        self._other.on_refusal(now, refusal)

    def on_abandon(self, now: float) -> None:
        self._one.on_abandon(now)
        self._other.on_abandon(now)

    def on_end(self, now: float, summary: ExchangeSummary) -> None:
        self._one.on_end(now, summary)
        self._other.on_end(now, summary)
