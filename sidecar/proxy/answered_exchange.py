"""The answer of an exchange on its way to the client: held, delivered, relayed, broken off, or one of our own."""

import math
from typing import Final

from sidecar.engine.outcome import Fault, Result, result_of
from sidecar.engine.verdict import Deliver, Refusal, Retry, Verdict
from sidecar.proxy.exchange_phase import ExchangePhase
from sidecar.proxy.held_answer import HeldAnswer
from sidecar.proxy.problem import FAULT_DETAIL, REFUSAL_DETAIL, REFUSAL_LINES, Problem
from sidecar.proxy.read_gate import ReadGate
from sidecar.proxy.recorded_exchange import RecordedExchange
from sidecar.proxy.replies import ATTEMPTS_LINES
from sidecar.proxy.stream import Stream
from sidecar.wire.handshake import HandshakeFailure
from sidecar.wire.head import ResponseHead

_SUCCESS: Final = Result.SUCCESS
_FAULT: Final = Result.FAULT
_BACKING_OFF: Final = ExchangePhase.BACKING_OFF
_RELAYING: Final = ExchangePhase.RELAYING


class AnsweredExchange(RecordedExchange):
    """The second layer: whichever attempt an answer is of, and whatever the judgement on it."""

    __slots__ = ()

    def on_client_full(self) -> None:
        """The client reads more slowly than the response comes."""
        if self._stream is not None:
            self._stream.read_gate.hold(ReadGate.PEER)

    def on_client_drained(self) -> None:
        """The client has caught up."""
        if self._stream is not None:
            self._stream.read_gate.release(ReadGate.PEER)
        if self.phase is _RELAYING:
            self._writer.timer.arm(self._context.clock() + self.engine.policy.idle_timeout)

    def on_interim(self, stream: Stream, head: ResponseHead) -> None:
        """A 1xx response: passed on to clients that can understand it (RFC 9110 §15.2), and of no other consequence.

        A 100 to a repeated body is an answer to us alone: the client has sent all of it long ago.
        """
        if stream is self._stream and (head.status != 100 or self._trailers is None or self.engine.attempts == 1):
            self._writer.interim(head)

    def on_body(self, stream: Stream, data: bytes) -> None:
        """More of the response's body."""
        del stream
        if self._held is not None:
            self._keep(self._held, data)
            return
        self._writer.body(data)
        self._writer.timer.arm(self._context.clock() + self.engine.policy.idle_timeout)

    def on_end(self, stream: Stream, data: bytes, trailers: bytes, verdict: int | None = None) -> None:
        """The response is complete."""
        now = self._context.clock()
        if self._unjudged:
            self._judge_late(verdict or self._status, now)
        self._stream = None
        stream.release(now)
        held = self._held
        if held is not None:
            held.end(trailers)
            if data:
                self._keep(held, data)
            return
        status = self._status
        self._end(now, _SUCCESS if status < 400 else result_of(status))
        self._writer.end(data, trailers, now)

    def _deliver(
        self,
        head: ResponseHead,
        body: bytes,
        complete: bool,  # noqa: FBT001 - a call by keyword costs 60 ns more
        now: float,
        trailers: bytes = b"",
    ) -> None:
        engine = self.engine
        engine.committed = True
        status = self._status = head.status
        added = ATTEMPTS_LINES[engine.attempts]
        if self._refusal is not None:
            added += REFUSAL_LINES[self._refusal]
        stream = self._stream
        if status == 101:
            assert stream is not None
            self._stream = None
            self._end(now, _SUCCESS)
            self._writer.switch(head, added, stream, body)
            return
        if complete:
            if stream is not None:
                self._stream = None
                stream.release(now)
            self._end(now, _SUCCESS if status < 400 else result_of(status))
        else:
            self.phase = _RELAYING
            self._writer.timer.arm(now + engine.policy.idle_timeout)
        self._writer.respond(head, added, body, complete, now, trailers)

    def _deliver_fault(self, fault: Fault | HandshakeFailure, now: float) -> None:
        status, limit = 502, ""
        if fault is Fault.TIMEOUT:
            status, limit = 504, f"timeout {self.engine.policy.timeout:g}s"
        self._answer(status, fault.value, FAULT_DETAIL[fault], now, _FAULT, limit=limit)

    def _refuse(self, refusal: Refusal, now: float) -> None:
        """The original may not be sent at all."""
        self._refused(refusal, now)
        added = b""
        destination = self.engine.destination
        if refusal is Refusal.BREAKER_OPEN:
            wait = destination.breaker.retry_after(now)
            added = b"Retry-After: %d\r\n" % max(1, math.ceil(wait))
            limit = f"breaker.hold {self.engine.policy.breaker.hold:g}s"
        else:
            limit = f"in flight {int(destination.limiter.limit)}"
        self._answer(503, refusal.value, REFUSAL_DETAIL[refusal], now, Result.REFUSED, added, limit=limit)

    def _answer(
        self, status: int, reason: str, detail: str, now: float, result: Result, added: bytes = b"", *, limit: str = ""
    ) -> None:
        """An answer of our own, which says so."""
        self._drop_attempt()
        self._status = status
        if self.engine.attempts:
            added += ATTEMPTS_LINES[self.engine.attempts]
        if self._refusal is not None:
            added += REFUSAL_LINES[self._refusal]
        self._end(now, result)
        problem = Problem(status, reason, detail, self._route.name, self._request_id(), limit)
        self._writer.refuse(problem, added, now)

    def _drop_attempt(self) -> None:
        """End whatever is under way towards the endpoint."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    def _judge_fault(self, now: float, fault: Fault, *, sent: bool, permanent: bool = False) -> Verdict:
        verdict = self.engine.on_fault(now, fault, sent=sent, permanent=permanent)
        if self._observer is not None:
            self._observer.on_fault(now, fault, verdict, sent=sent)
        return verdict

    def _judge_address(self, status: int, now: float) -> None:
        """Whether the endpoint that answered is to be left alone, or is well again."""
        address = self._address
        assert address is not None
        destination = self.engine.destination
        if status in self.engine.policy.breaker.statuses:
            address.record_failure(destination, now)
        elif status not in destination.failing:
            address.record_success(now)

    def _judge_late(self, status: int, now: float) -> None:
        """The verdict on a response that has been passed on already: it counts, and changes nothing."""
        self._unjudged = False
        verdict = self.engine.on_status(now, status, None)
        if self._observer is not None:
            self._observer.on_status(now, status, None, verdict)
        self._attempt_over(now, str(status))
        self._judge_address(status, now)
        if isinstance(verdict, Deliver):
            self._refused(verdict.refusal, now)

    def _cut(self, fault: Fault, now: float) -> None:
        """A committed response broke off: it is told of, and counted as the retry that can not be made any more."""
        self._attempt_over(now, fault.value)
        if self._unjudged:
            self._unjudged = False
            verdict = self._judge_fault(now, fault, sent=True)
            if isinstance(verdict, Deliver):
                self._refused(verdict.refusal, now)
        else:
            self.engine.destination.tally.refusals[Refusal.COMMITTED] += 1
            self._refused(Refusal.COMMITTED, now)

    def _hold(self, head: ResponseHead, body: bytes, *, complete: bool, now: float) -> None:
        stream = self._stream
        self._fault = None
        if stream is not None:
            if complete:
                stream.release(now)
                stream = self._stream = None
            else:
                stream.read_gate.hold(ReadGate.HELD)  # kept is what has come, not what may still come
        self._held = HeldAnswer(head, body, stream)

    def _keep(self, held: HeldAnswer, data: bytes) -> None:
        if not held.keep(data):
            self._held = None
            self._fault = Fault.RESET
            self._stream = None

    def _back_off(self, verdict: Retry, now: float) -> None:
        self.phase = _BACKING_OFF
        self._backoff = verdict.delay
        self._writer.timer.arm(now + verdict.delay)
