"""One request and its one response, over all attempts: what the engine decides, carried out.

Not a task but a few callbacks in the order in which things happen (1.4 µs instead of 6.5 µs per request, IO aside):

    begin → attempt → connected → sent → on_response / on_lost / on_timer → deliver, or back off and attempt again

`exchange_phase` has the table of phases and events. Every verdict is the engine's; what is done about it is here. The
client's side is a ResponseWriter, the endpoint's side a Stream: neither says which protocol it speaks.
"""

from typing import Final

from sidecar.engine.outcome import AttemptKind, Fault, Result, result_of
from sidecar.engine.retry import UPLOAD_SLOT_SECONDS, Admission
from sidecar.engine.verdict import DELIVER, Await, Deliver, Refusal, Retry
from sidecar.proxy.attempt_trail import AttemptTrail
from sidecar.proxy.exchange_phase import ExchangePhase
from sidecar.proxy.paired_exchange import PairedExchange
from sidecar.proxy.pool import UnfitConnection
from sidecar.proxy.problem import Problem
from sidecar.proxy.read_gate import ReadGate
from sidecar.proxy.replay import ReplayBuffer
from sidecar.proxy.replies import ATTEMPTS_LINES
from sidecar.proxy.stream import Loss, Stream
from sidecar.proxy.tls import HandshakeFailed
from sidecar.proxy.waiters import wake_waiters
from sidecar.wire.handshake import HandshakeFailure
from sidecar.wire.head import ResponseHead
from sidecar.wire.malformed import Malformed
from sidecar.wire.misdirected import Misdirected
from sidecar.wire.retry_after import parse_retry_after

_GO: Final = Admission.GO
_WAIT: Final = Admission.WAIT
_RETRY: Final = AttemptKind.RETRY
_RECONNECT: Final = AttemptKind.RECONNECT
_SUCCESS: Final = Result.SUCCESS
_FAULT: Final = Result.FAULT
_WAITING: Final = ExchangePhase.WAITING
_CONNECTING: Final = ExchangePhase.CONNECTING
_SENT: Final = ExchangePhase.SENT
_BACKING_OFF: Final = ExchangePhase.BACKING_OFF
_RELAYING: Final = ExchangePhase.RELAYING
_OVER: Final = ExchangePhase.OVER


class Exchange(PairedExchange):
    """One request of one client. Implements `ResponseReceiver`, `ConnectionWaiter` and `waiters.WaitingHost`.

    The layers below have its state and its answer: see `recorded_exchange`.
    """

    __slots__ = ()

    # The request's side, called by the client's connection

    def expect_body(self, now: float) -> None:
        """A body follows the head; called before `begin`."""
        self._trailers = None
        self._body = ReplayBuffer(self.engine.policy.retry.replay_buffer_bytes)
        self._body_moment = now

    def whole_body(self, data: bytes) -> None:
        """All of the body has come already; called before `begin`."""
        self._body = ReplayBuffer(self.engine.policy.retry.replay_buffer_bytes, data)

    def begin(self, now: float) -> None:
        """Ask for admission, and make the first attempt."""
        observer = self._observer
        if observer is not None:
            observer.on_begin(self.engine, now)
        admission = self.engine.admit(now)
        if observer is not None:
            observer.on_admission(now, admission)
        if admission is _GO:
            self._attempt(now)
            return
        self._admitted(admission, now)
        if self.phase is _WAITING:
            # A recovery makes room as time goes by, without an answer that would tell
            wake_waiters(self.engine.destination, now)

    def on_request_body(self, data: bytes) -> None:
        """More of the request's body."""
        body = self._body
        phase = self.phase
        if body is None or phase is _OVER:
            return
        if phase is not _WAITING:
            self._body_moment = self._context.clock()
        if phase is _SENT or phase is _RELAYING:
            if self._stream is not None:
                self._stream.send_data(data)
            if body.replayable:
                body.keep(data)
                body.sent()
        else:
            body.keep(data)
            if body.full:
                self._writer.read_gate.hold(ReadGate.BUFFER)
        if phase is _SENT:
            self._arm_attempt()

    def on_request_end(self, trailers: bytes) -> None:
        """The request has been read to its end."""
        self._trailers = trailers
        phase = self.phase
        if phase is _OVER:
            return
        if self._stream is not None and (phase is _SENT or phase is _RELAYING):
            self._stream.end(trailers)
        now = self._context.clock()
        engine = self.engine
        # The clocks of the answer start when there is a whole question: a slow upload is not a slow dependency.
        engine.on_request_complete(now)
        if phase is _SENT:
            self._arm_attempt()

    def on_request_malformed(self, error: Malformed) -> None:
        """The request's body turned out to be nonsense, too large or too late: nothing of it may count."""
        if self.phase is _OVER:
            return
        relaying = self.phase is _RELAYING
        now = self._context.clock()
        self._leave(now)
        if relaying:
            self._end(now, _FAULT)
            self._writer.reset()
        else:
            self._status = error.status
            self._end(now, Result.CLIENT_ERROR)
            limit = f"idle_timeout {self.engine.policy.idle_timeout:g}s" if error.reason == "body_timeout" else ""
            problem = Problem(error.status, error.reason, error.detail, self._route.name, self._request_id(), limit)
            self._writer.refuse(problem, b"", now)
        if self.engine.destination.limiter.waiting:
            wake_waiters(self.engine.destination, now)

    def on_client_gone(self) -> None:
        """The client has left: nothing may go on for it."""
        if self.phase is _OVER:
            return
        now = self._context.clock()
        self._leave(now)
        self._end(now, Result.ABANDONED)
        if self.engine.destination.limiter.waiting:
            wake_waiters(self.engine.destination, now)

    def on_turn(self, now: float) -> None:
        """The engine has found a slot for this waiting original."""
        if self.phase is _WAITING:
            self._admitted(self._told(self.engine.admit(now), now), now)

    def wait_until(self, instant: float) -> None:
        """A slot may be free for this waiting original at `instant`, without an answer that would tell."""
        self._writer.timer.arm(instant)

    def on_timer(self, now: float) -> None:
        """The step that was awaited in this phase has not come in time."""
        phase = self.phase
        if phase is _SENT or phase is _CONNECTING:
            self._late(now)
        elif phase is _BACKING_OFF:
            self._depart(now)
        elif phase is _WAITING:
            admission = self.engine.wake(now)
            self._admitted(self._told(admission, now), now)
            if self.engine.destination.limiter.waiting:
                # It may have been woken for an orphaned slot, which is the next one's
                wake_waiters(self.engine.destination, now)
        elif phase is _RELAYING:
            if self._writer.taking():
                self._writer.timer.arm(now + self.engine.policy.idle_timeout)
                return
            if self._stream is not None and not self._stream.read_gate.held & ReadGate.PEER:
                self._cut(Fault.TIMEOUT, now)  # the endpoint fell silent; else it is the client that takes nothing
            self._leave(now)
            self._end(now, _FAULT)
            self._writer.reset()

    # The response's side: `stream.ConnectionWaiter` and `stream.ResponseReceiver`, in order

    def on_connected(self, stream: Stream) -> None:
        """The stream that was asked for is there."""
        self._connecting = None
        self._address = stream.owner  # another address of the same endpoint may have been quicker
        self._send(stream)

    def on_connect_failure(self, error: Exception) -> None:
        """The connection that was asked for can not be had: no byte of the request has left."""
        self._connecting = None
        now = self._context.clock()
        if isinstance(error, UnfitConnection):
            self._failed(Fault.PROTOCOL, now, sent=False)
        elif isinstance(error, Misdirected):
            self._context.misdirected[error.reason] += 1
            self._answer_unsent(error, now)
        else:
            reason = error.failure if isinstance(error, HandshakeFailed) else Fault.CONNECT_FAILURE
            self._not_connected(reason, now)

    def on_response(self, stream: Stream, head: ResponseHead, body: bytes, complete: bool) -> None:  # noqa: FBT001
        """A response head, and the body so far."""
        now = self._context.clock()
        if self._elder is not None:
            self._response_of_two(self._elder, stream, head, body, complete=complete, now=now)
            return
        engine = self.engine
        status = head.verdict
        if status is None:
            self._unjudged = True
            self._deliver(head, body, complete, now)
            return
        if self._body is not None:
            engine.replayable = self._body.replayable
        wait = None
        if head.retry_after and status in engine.policy.retry.statuses:
            wait = parse_retry_after(head.retry_after, head.date, self._context.wall())
        if head.peer_refusal:
            verdict = engine.on_status(now, status, wait, peer_refused=True)
        else:
            verdict = engine.on_status(now, status, wait)
        if self._observer is not None:
            self._observer.on_outcome(now, engine.attempt_number, str(status), self._address)
            self._observer.on_status(now, status, wait, verdict)
        if verdict is DELIVER:
            if self._trail is not None:
                self._note(now, str(status), engine.attempt_number)
            address = self._address
            if address is not None:
                if address.consecutive_failures or address.late or status >= 500:  # 40 ns after good answers
                    self._judge_address(status, now)
                else:
                    address.answered_at = now
            if complete and self._refusal is None and status >= 200:  # as most are: 80 ns less than by _deliver
                engine.committed = True
                self._status = head.status
                self._stream = None
                stream.release(now)
                self._end(now, _SUCCESS if status < 400 else result_of(status))
                self._writer.respond(head, ATTEMPTS_LINES[engine.attempts], body, True, now)  # noqa: FBT003
            else:
                self._deliver(head, body, complete, now)
        else:
            self._note(now, str(status), engine.attempt_number)
            self._judge_address(status, now)
            if isinstance(verdict, Deliver):
                self._refused(verdict.refusal, now)
                self._deliver(head, body, complete, now)
            elif isinstance(verdict, Retry):
                self._hold(head, body, complete=complete, now=now)
                self._back_off(verdict, now)
        if engine.destination.limiter.waiting:
            wake_waiters(engine.destination, now)

    def on_malformed(self, stream: Stream, error: Malformed) -> None:
        """The endpoint spoke nonsense."""
        self._context.rejections[error.reason] += 1
        if self._elder is not None and stream is self._elder.stream:
            self._elder_failed(self._elder, Fault.PROTOCOL, sent=True)
        else:
            self._broken(Fault.PROTOCOL)

    def on_lost(self, stream: Stream, loss: Loss | HandshakeFailure) -> None:
        """The stream is gone before its response was complete."""
        if self._elder is not None and stream is self._elder.stream:
            self._elder_failed(self._elder, Fault.RESET, sent=loss is not Loss.REFUSED)
            return
        if self.phase is not _SENT:
            if self.phase is _RELAYING:
                self._context.rejections["truncated"] += 1
            self._broken(Fault.RESET)
            return
        self._stream = None
        now = self._context.clock()
        engine = self.engine
        if isinstance(loss, HandshakeFailure):
            stream.owner.record_connect_failure(now)
            self._not_connected(loss, now, sent=True)
            return
        if loss is Loss.STALE:
            if self._body is not None:
                engine.replayable = self._body.replayable
            number = engine.attempt_number
            if engine.reconnect(now):
                self._attempt_over(now, "stale", number)
                if self._observer is not None:
                    self._observer.on_reconnect(now)
                self._attempt_again(_RECONNECT, now, fresh=True)
                return
        if loss is Loss.HUNG_UP and not stream.owner.open:
            stream.owner.record_connect_failure(now)  # it accepts connections and closes them: the same as none at all
        self._failed(Fault.RESET, now, sent=loss is not Loss.REFUSED)

    def on_stream_full(self, stream: Stream) -> None:
        """The endpoint reads more slowly than the request's body comes."""
        if stream is self._stream:
            self._writer.read_gate.hold(ReadGate.PEER)

    def on_stream_drained(self, stream: Stream) -> None:
        """It has caught up."""
        if stream is self._stream:
            self._body_moment = self._context.clock()
            self._writer.read_gate.release(ReadGate.PEER)

    # Attempts

    def _told(self, admission: Admission | Refusal, now: float) -> Admission | Refusal:
        if self._observer is not None:
            self._observer.on_admission(now, admission)
        return admission

    def _admitted(self, admission: Admission | Refusal, now: float) -> None:
        if admission is _WAIT:
            self.engine.host = self
            self._writer.timer.arm(self.engine.wake_at)
            return
        self.engine.host = None  # else neither would be let go of before the garbage collector comes by
        if admission is _GO:
            self._attempt(now)
        else:
            assert isinstance(admission, Refusal)
            self._refuse(admission, now)

    def _attempt_again(self, kind: AttemptKind, now: float, *, fresh: bool = False) -> None:
        """Another attempt. `fresh`: on a new connection."""
        self._kind = kind
        self._overdue = False
        if self._address is not None:
            self._tried = (*self._tried, self._address)
        self._attempt(now, fresh)

    def _attempt(self, now: float, fresh: bool = False) -> None:  # noqa: FBT001, FBT002 - by keyword it is 60 ns more
        pool = self._route.pool
        addresses = pool.addresses
        address = self._address = addresses[0] if len(addresses) == 1 else pool.choose(self._tried, now)
        if self._observer is not None:
            self._observer.on_attempt(now, self.engine.attempts, self._kind, address)
        stream = None if fresh else address.lease()
        if stream is not None:
            self._send(stream)
            return
        self.phase = _CONNECTING
        self._connecting = pool.connect(address, self, fresh=fresh)
        self._arm_attempt()

    def _send(self, stream: Stream) -> None:
        self.phase = _SENT
        self._stream = stream
        engine = self.engine
        added = self._added
        if engine.attempts > 1 and not self._head.retry_attempt:
            added += b"x-retry-attempt: %d\r\n" % engine.attempts
        if self._observer is not None:
            added += self._observer.fields(engine.attempts, stream.owner)
        body = self._body
        if body is None:
            stream.send_head(self, self._head, added, b"", b"")
        else:
            gate = self._writer.read_gate
            if gate.held:
                gate.release(ReadGate.BUFFER | ReadGate.PEER)
            stream.send_head(self, self._head, added, body.send(), self._trailers)
            if self._trailers is None:
                self._arm_attempt()
                return
        if self._overdue:
            self._writer.timer.arm(engine.deadline)
            return
        patience = engine.policy.per_attempt_timeout
        learned = engine.lateness.seconds
        late_at = engine.attempt_began + (learned if learned > patience else patience)  # noqa: FURB136 - 80 ns
        self._writer.timer.arm(late_at if late_at < engine.deadline else engine.deadline)  # noqa: FURB136 - 80 ns

    def _arm_attempt(self) -> None:
        engine = self.engine
        if self._trailers is None:
            at = max(self._body_moment, engine.attempt_began) + engine.policy.idle_timeout
            if engine.holds_slot:
                at = min(at, engine.attempt_began + UPLOAD_SLOT_SECONDS)
            self._writer.timer.arm(at)
            return
        at = engine.deadline
        if not self._overdue:
            at = min(at, engine.late_at)
        self._writer.timer.arm(at)

    def _late(self, now: float) -> None:
        engine = self.engine
        if self._trailers is None:
            self._upload_late(now)
            return
        if now < engine.deadline and not self._overdue:
            if now < engine.late_at:
                self._arm_attempt()  # it was learned meanwhile that answers take longer
                return
            self._overdue = True
            engine.replayable = self._body is None or self._body.replayable
            engine.elsewhere = self._elsewhere()
            verdict = engine.on_late(now)
            if self._observer is not None:
                self._observer.on_slow(now, verdict)
            if self.phase is _SENT and self._address is not None:
                self._address.record_timeout(engine.attempt_began, now)
            if isinstance(verdict, Retry):
                self._go_on_beside(now)
                self._fault = Fault.TIMEOUT
                self._back_off(verdict, now)
                if engine.destination.limiter.waiting:
                    wake_waiters(engine.destination, now)
            else:
                # Its answer may still come, and what it has cost the dependency is not wasted.
                assert isinstance(verdict, Deliver)
                self._refused(verdict.refusal, now)
                if self._trail is None:
                    # Slow is notable: its outcome is to be noted, whatever it will be.
                    self._trail = AttemptTrail(engine.began)
                self._writer.timer.arm(engine.deadline)
            return
        self._deadline_passed(now)

    def _upload_late(self, now: float) -> None:
        """Neither more of the request's body has come for long, nor an answer."""
        engine = self.engine
        if engine.holds_slot and now >= engine.attempt_began + UPLOAD_SLOT_SECONDS:
            engine.on_upload_slow(now)
            self._arm_attempt()
            if engine.destination.limiter.waiting:
                wake_waiters(engine.destination, now)
        elif now < max(self._body_moment, engine.attempt_began) + engine.policy.idle_timeout:
            self._arm_attempt()
        elif self._stream is not None and self._writer.read_gate.held & ReadGate.PEER:
            # Nothing of the body comes because the endpoint does not take what has come already.
            if self._stream.taking():
                self._body_moment = now
                self._arm_attempt()
            else:
                self._drop_attempt()
                self._failed(Fault.TIMEOUT, now, sent=True)
        else:
            self._context.rejections["body_timeout"] += 1
            self.on_request_malformed(Malformed(408, "body_timeout", "the request's body did not come in time"))

    def _not_connected(self, reason: Fault | HandshakeFailure, now: float, *, sent: bool = False) -> None:
        """No connection could be had, or it was undone. `sent`: the request had been written to it by then."""
        counts = self.engine.destination.tally.connect_failures
        counts[reason.value] = counts.get(reason.value, 0) + 1
        self._failed(Fault.RESET if sent else Fault.CONNECT_FAILURE, now, sent=sent, reason=reason)

    def _failed(self, fault: Fault, now: float, *, sent: bool, reason: Fault | HandshakeFailure | None = None) -> None:
        """No answer: ask the engine, and try again or say so. `reason` is the fault in a more precise word."""
        reason = reason or fault
        self._stream = None
        engine = self.engine
        engine.replayable = self._body is None or self._body.replayable
        self._attempt_over(now, reason.value)
        permanent = isinstance(reason, HandshakeFailure) and reason.permanent and not self._elsewhere()
        verdict = self._judge_fault(now, fault, sent=sent, permanent=permanent)
        if fault is Fault.RESET and self._address is not None:
            self._address.record_failure(engine.destination, now)
        if isinstance(verdict, Retry):
            self._fault = reason
            self._back_off(verdict, now)
        elif isinstance(verdict, Await):
            self._await_elder(now)
        else:
            if verdict.refusal is not None or fault is not Fault.TIMEOUT:
                self._refused(verdict.refusal, now)
            self._deliver_fault(reason, now)
        if engine.destination.limiter.waiting:
            wake_waiters(engine.destination, now)

    def _elsewhere(self) -> bool:
        """Whether there is an address that has not been tried."""
        return any(one is not self._address and one not in self._tried for one in self._route.pool.addresses)

    def _broken(self, fault: Fault) -> None:
        """The response has broken off after its head had come."""
        self._stream = None
        now = self._context.clock()
        if self.phase is _RELAYING:
            # Never a clean end: the client must not take what it has for all there is.
            self._cut(fault, now)
            self._end(now, _FAULT)
            self._writer.reset()
        elif self.phase is _BACKING_OFF:
            self._held = None
            self._fault = fault
        elif self.phase is _SENT:
            self._failed(fault, now, sent=True)

    def _depart(self, now: float) -> None:
        """The back-off is over: the retry leaves, or the answer that was kept is delivered after all."""
        admission = self.engine.depart(now)
        if self._observer is not None:
            self._observer.on_departure(now, admission)
        held, self._held = self._held, None
        if admission is _GO:
            if held is not None:
                held.let_go()
            self._stream = None
            self._fault = None
            self._refusal = None
            self._attempt_again(_RETRY, now)
            return
        assert isinstance(admission, Refusal)
        self._refused(admission, now)
        if self._elder is not None:
            self._await_elder(now)
            if self.engine.destination.limiter.waiting:
                wake_waiters(self.engine.destination, now)
            return
        if held is not None:
            self._deliver(held.head, held.body, held.complete, now, held.trailers)
            if held.stream is not None:
                held.stream.read_gate.release(ReadGate.HELD)
        else:
            self._deliver_fault(self._fault or Fault.RESET, now)

    def _answer_unsent(self, error: Misdirected, now: float) -> None:
        """The attempt can not be made, which says nothing about the destination."""
        self._attempt_over(now, error.reason)
        self.engine.retract(now)
        if self._elder is not None:
            self._await_elder(now)
        else:
            added = b"Retry-After: 1\r\n" if error.status == 503 else b""
            self._answer(error.status, error.reason, error.detail, now, Result.REFUSED, added)
        if self.engine.destination.limiter.waiting:
            wake_waiters(self.engine.destination, now)
