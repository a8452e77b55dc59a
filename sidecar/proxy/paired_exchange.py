"""Two attempts of one exchange that are awaited at once: the late one, called the elder, and its retry.

A good answer of either wins, and the other one is called off; a bad one leaves the other awaited.
"""

from typing import Final

from sidecar.engine.outcome import Fault
from sidecar.engine.verdict import Await, Deliver, Retry, Verdict
from sidecar.proxy.answered_exchange import AnsweredExchange
from sidecar.proxy.elder import ElderAttempt
from sidecar.proxy.exchange_phase import ExchangePhase
from sidecar.proxy.stream import Stream
from sidecar.proxy.waiters import wake_waiters
from sidecar.wire.head import ResponseHead
from sidecar.wire.retry_after import parse_retry_after

_SENT: Final = ExchangePhase.SENT
_BACKING_OFF: Final = ExchangePhase.BACKING_OFF
_RELAYING: Final = ExchangePhase.RELAYING


class PairedExchange(AnsweredExchange):
    """The third layer: what becomes of the attempts when one, the other or both of them are over."""

    __slots__ = ()

    def _go_on_beside(self, now: float) -> None:
        """A retry was granted for an attempt that is late: it is awaited beside it, if it has left at all."""
        elder = self.engine.elder
        stream = self._stream
        assert elder is not None
        if stream is None:
            self._attempt_over(now, "timeout")
            self.engine.give_up_elder(now)
            self._drop_attempt()
            return
        assert self._address is not None
        self._elder = ElderAttempt(
            stream, self._address, self._kind, self._backoff, number=elder.number, began=elder.began
        )
        self._stream = None

    def _response_of_two(
        self, elder: ElderAttempt, stream: Stream, head: ResponseHead, body: bytes, *, complete: bool, now: float
    ) -> None:
        """A response while two attempts are awaited: a good one wins, a bad one leaves the other awaited."""
        engine = self.engine
        status = head.verdict or head.status  # the head of a stream whose verdict is still to come has won
        wait = None
        if head.retry_after and status in engine.policy.retry.statuses:
            wait = parse_retry_after(head.retry_after, head.date, self._context.wall())
        if stream is elder.stream:
            self._elder_over(now, str(status))
            flying, number, began = self.phase is not _BACKING_OFF, engine.attempt_number, engine.attempt_began
            verdict = engine.on_elder_status(now, status, wait)
            if self._observer is not None:
                self._observer.on_elder_status(now, status, wait, verdict)
            good = status not in engine.destination.failing
            if good and flying:
                self._attempt_over(now, "superseded", number, began)
            if isinstance(verdict, Await):
                self._discard(stream, complete=complete, now=now)
            else:
                self._drop_attempt()
                self._stream, self._address, self._kind = stream, elder.address, elder.kind
                self._judge_address(status, now)
                self._follow(verdict, head, body, complete=complete, now=now)
        else:
            self._attempt_over(now, str(status))
            verdict = engine.on_status(now, status, wait)
            if self._observer is not None:
                self._observer.on_status(now, status, wait, verdict)
            self._judge_address(status, now)
            if isinstance(verdict, Await):
                self._discard(stream, complete=complete, now=now)
                self._await_elder(now)
            else:
                self._elder_over(now, "superseded")
                elder.stream.cancel()
                self._follow(verdict, head, body, complete=complete, now=now)
        if engine.destination.limiter.waiting:
            wake_waiters(engine.destination, now)

    def _follow(self, verdict: Verdict, head: ResponseHead, body: bytes, *, complete: bool, now: float) -> None:
        """Deliver the response of the current attempt, or hold it and try again."""
        if isinstance(verdict, Retry):
            self._hold(head, body, complete=complete, now=now)
            self._back_off(verdict, now)
        else:
            assert isinstance(verdict, Deliver)
            self._refused(verdict.refusal, now)
            self._deliver(head, body, complete, now)

    def _elder_failed(self, elder: ElderAttempt, fault: Fault, *, sent: bool) -> None:
        """The elder will not be answered: its retry goes on; one that has not left yet is judged anew."""
        now = self._context.clock()
        engine = self.engine
        self._elder_over(now, fault.value)
        verdict = engine.on_elder_fault(now, fault, sent=sent)
        if self._observer is not None:
            self._observer.on_elder_fault(now, fault, verdict, sent=sent)
        elder.address.record_failure(engine.destination, now)
        if isinstance(verdict, Retry):
            self._fault = fault
            self._back_off(verdict, now)
        elif isinstance(verdict, Deliver):
            self._refused(verdict.refusal, now)
            self._deliver_fault(fault, now)
        if engine.destination.limiter.waiting:
            wake_waiters(engine.destination, now)

    def _await_elder(self, now: float) -> None:
        """The retry has come to nothing: the elder is the current attempt again, and has until the deadline."""
        elder, self._elder = self._elder, None
        assert elder is not None
        del now
        self._stream, self._address = elder.stream, elder.address
        self._kind, self._backoff = elder.kind, elder.backoff
        self.phase = _SENT
        self._overdue = True
        self._writer.timer.arm(self.engine.deadline)

    def _discard(self, stream: Stream, *, complete: bool, now: float) -> None:
        """An answer that is not delivered."""
        if stream is self._stream:
            self._stream = None
        if complete:
            stream.release(now)
        else:
            stream.cancel()

    def _deadline_passed(self, now: float) -> None:
        """Nothing of what is awaited has come: all of it is over."""
        sent = self.phase is _SENT or self._elder is not None
        if self._elder is not None:
            stream = self._elder.stream
            self._elder_over(now, Fault.TIMEOUT.value)
            stream.cancel()
        self._drop_attempt()
        engine = self.engine
        engine.replayable = self._body is None or self._body.replayable
        self._attempt_over(now, Fault.TIMEOUT.value)
        verdict = engine.on_deadline(now, sent=sent)
        if self._observer is not None:
            self._observer.on_deadline(now, verdict, sent=sent)
        assert isinstance(verdict, Deliver)
        if verdict.refusal is not None:
            self._refused(verdict.refusal, now)
        self._deliver_fault(Fault.TIMEOUT, now)
        if engine.destination.limiter.waiting:
            wake_waiters(engine.destination, now)

    def _leave(self, now: float) -> None:
        if self.phase is not _RELAYING and self.engine.attempts:
            if self._elder is not None:
                stream = self._elder.stream
                self._elder_over(now, "abandoned")
                stream.cancel()
                if self.phase is not _BACKING_OFF:
                    self._attempt_over(now, "abandoned")
            else:
                self._attempt_over(now, "abandoned")
        self._drop_attempt()
        self._held = None
        self.engine.abandon(now)
        self.engine.host = None
        if self._observer is not None:
            self._observer.on_abandon(now)
