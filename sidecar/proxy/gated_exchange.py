"""An exchange of a route with an Idempotency-Key contract: read whole, claimed, and then sent at most once.

It stands between the client's connection and the exchange proper. To the connection it is the exchange; to the exchange
it is the ResponseWriter:

    read the body → claim the key → replay, refuse, or begin the exchange → keep the answer → write it

The answer is kept before the client has it, so that whatever it got, a retry gets the same. When the client leaves, the
exchange goes on to its end for the retry that will come. None of this is on the path of requests without a contract.
"""

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any, Final

from sidecar.engine.outcome import AttemptKind, Fault
from sidecar.engine.verdict import Verdict
from sidecar.governance.policy.contract import IngressRoute
from sidecar.idempotency.answer import StoredAnswer, answer_of, kept_fields
from sidecar.idempotency.gate import IngressGate, KeyedRequest, KeyRefusal, KeyReplay, KeyRun
from sidecar.idempotency.key import field_values
from sidecar.proxy.context import ProxyContext
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.observer import ExchangeObserver, PairOfObservers
from sidecar.proxy.problem import Problem
from sidecar.proxy.replies import CONTINUE, TYPE_PREFIX
from sidecar.proxy.response_writer import ResponseWriter
from sidecar.proxy.route import Route
from sidecar.proxy.stream import ConnectionOwner, Stream
from sidecar.wire.framing import LENGTH, NONE
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.malformed import Malformed

REPLAYED_LINE: Final = b"Idempotent-Replayed: true\r\n"
OUTCOME_FIELD: Final = b"idempotency-outcome"
"""A field of the service's own answer, which knows best: `applied` or `not-applied`."""
BODY_NOT_KEPT: Final = "body_not_kept"
_HOLD_SECONDS: Final = 1.0
"""For which an answer without a length is held back to be kept first; a slower one is passed on as it comes."""
_EVENT_STREAM: Final = b"text/event-stream"
_BROKEN_OFF: Final = "the service's answer broke off; it may have been executed"

_Write = Callable[[float], None]


class GatedExchange:
    """One request on a route with a contract. Implements `response_writer.ResponseWriter` for the exchange proper."""

    __slots__ = (
        "_added",
        "_answer",
        "_begun",
        "_body",
        "_complete",
        "_context",
        "_exchange",
        "_gate",
        "_gone",
        "_head",
        "_hold",
        "_keyed",
        "_observer",
        "_over",
        "_refused",
        "_route",
        "_run",
        "_sent",
        "_tasks",
        "_writer",
        "read_gate",
        "timer",
    )

    def __init__(
        self,
        context: ProxyContext,
        writer: ResponseWriter,
        route: Route,
        head: RequestHead,
        gate: IngressGate,
        keyed: IngressRoute,
        observer: ExchangeObserver | None = None,
    ) -> None:
        self._context = context
        self._writer = writer
        self._route = route
        self._head = head
        self._gate = gate
        self._keyed = keyed
        self._observer = observer
        self._sent = _SentAttempts()
        self._exchange: Exchange | None = None
        self._run: KeyRun | None = None
        self._answer: _Answer | None = None
        self._added = b""
        self._body = bytearray()
        self._complete = True
        self._begun = self._gone = self._over = self._refused = False
        self._hold: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.timer = context.wheel.timer(self._on_own_timer)
        self.read_gate = writer.read_gate
        context.busy += 1

    # What the connection tells an exchange

    def expect_body(self, now: float) -> None:
        """A body follows the head."""
        self._complete = False
        length = self._head.length
        if length is not None and length > self._gate.max_request_bytes:
            return  # refused by `begin`, when the connection knows that there is a body it need not read
        if self._head.expects_continue:
            self._writer.interim(CONTINUE)
        self._writer.timer.arm(now + self._context.limits.idle_timeout)

    def whole_body(self, data: bytes) -> None:
        """All of the body has come already."""
        self._body += data

    def begin(self, now: float) -> None:
        """Nothing that was announced is missing but, perhaps, the rest of the body."""
        self._begun = True
        if not self._complete and (self._head.length or 0) > self._gate.max_request_bytes:
            if not self._over:
                self._too_large(now)
            return
        self._claim_when_whole(now)

    def on_request_body(self, data: bytes) -> None:
        """More of the body."""
        if self._over:
            return
        self._body += data
        now = self._context.clock()
        if len(self._body) > self._gate.max_request_bytes:
            self._too_large(now)
        else:
            self._writer.timer.arm(now + self._context.limits.idle_timeout)

    def on_request_end(self, trailers: bytes) -> None:
        """The request has been read to its end; what its trailers say is not passed on."""
        del trailers
        self._complete = True
        self._claim_when_whole(self._context.clock())

    def on_request_malformed(self, error: Malformed) -> None:
        """The body turned out to be nonsense: nothing of it was sent."""
        if not self._over:
            problem = Problem(error.status, error.reason, error.detail, self._route.name)
            self._finish(lambda now: self._writer.refuse(problem, b"", now))

    def on_client_gone(self) -> None:
        """The client has left. What has been sent goes on: its retry is to find an answer."""
        self._gone = True
        if self._exchange is not None and self._run is not None and not self._over:
            self._exchange.on_client_drained()
            return
        if self._exchange is not None and self._run is None:
            try:
                if not self._over:
                    self._exchange.on_client_gone()  # it has no claim: as any other
            finally:
                self._leave()
        elif not self._tasks:
            self._leave()

    def on_client_full(self) -> None:
        """The client reads more slowly than the response comes."""
        if self._exchange is not None and self._answer is not None and self._answer.passing:
            self._exchange.on_client_full()

    def on_client_drained(self) -> None:
        """The client has caught up."""
        if self._exchange is not None:
            self._exchange.on_client_drained()

    def on_timer(self, now: float) -> None:
        """The connection's timer: of the body, as the exchange has a timer of its own."""
        if not self._complete and not self._over:
            self._context.rejections["body_timeout"] += 1
            self.on_request_malformed(Malformed(408, "body_timeout", "the request's body did not come in time"))
        del now

    # response_writer.ResponseWriter, for the exchange proper

    def interim(self, head: ResponseHead) -> None:
        """A 1xx response: 100 was said already, when the body was asked for."""
        if head.status != 100 and not self._gone:
            self._writer.interim(head)

    def respond(
        self,
        head: ResponseHead,
        added: bytes,
        body: bytes,
        complete: bool,  # noqa: FBT001 - as the protocol has it
        now: float,
        trailers: bytes = b"",
    ) -> None:
        """The service answers."""
        if self._run is None:
            self._over = self._over or complete
            try:
                self._pass_on(head, added, body, complete, now, trailers)
            finally:
                if complete:
                    self._leave()
            return
        answer = self._answer = _Answer(head, added, self._gate.max_response_bytes)
        answer.take(body)
        if complete:
            self._keep(answer, trailers)
            return
        streams = field_values(head.fields, b"content-type")[:1]
        if answer.too_large or (head.length or 0) > answer.limit or (streams and streams[0].startswith(_EVENT_STREAM)):
            self._begin_passing(now)
        elif head.framing is not LENGTH:
            self._hold = self._context.loop.call_later(_HOLD_SECONDS, self._stop_holding)

    def body(self, data: bytes) -> None:
        """More of the answer."""
        answer = self._answer
        if answer is None:
            if not self._gone:
                self._writer.body(data)
            return
        answer.take(data)
        if answer.passing:
            if not self._gone:
                self._writer.body(data)
        elif answer.too_large:
            self._begin_passing(self._context.clock())

    def end(self, data: bytes, trailers: bytes, now: float) -> None:
        """The last of the answer."""
        answer = self._answer
        if answer is None:
            self._over = True
            try:
                if not self._gone:
                    self._writer.end(data, trailers, now)
            finally:
                self._leave()
            return
        answer.take(data)
        if answer.passing:
            answer.last, answer.last_trailers = data, trailers
        self._keep(answer, trailers)

    def refuse(self, problem: Problem, added: bytes, now: float) -> None:
        """The exchange has no answer of the service's."""
        run = self._run
        if run is None:
            self._finish(lambda at: self._writer.refuse(problem, added, at))
            return
        del now
        self._over = True
        unsent = self._sent.none
        ending = run.release(problem.reason) if unsent else run.doubt(problem.reason)
        self._later(self._end(ending, lambda at: self._writer.refuse(problem, added, at)))

    def reset(self) -> None:
        """The answer broke off."""
        self._stop_timer()
        if self._run is None:
            self._over = True
            try:
                if not self._gone:
                    self._writer.reset()
            finally:
                self._leave()
            return
        self._over = True
        answer = self._answer
        if answer is not None and not answer.passing:
            problem = Problem(
                502, "reset", "the service's answer broke off; it may have been executed", self._route.name
            )
            self._later(self._end(self._run.doubt("truncated"), lambda at: self._writer.refuse(problem, b"", at)))
        else:
            self._later(self._end(self._run.doubt("truncated"), lambda _: self._writer.reset()))

    def switch(self, head: ResponseHead, added: bytes, stream: Stream, early: bytes) -> None:
        """101: what is said from here on is no answer that could be kept."""
        self._over = True
        try:
            if self._gone:
                stream.cancel()
            else:
                self._writer.switch(head, added, stream, early)
        finally:
            self._gone = True
            if self._run is None:
                self._leave()
            else:
                self._later(self._end(self._run.doubt("switched"), lambda _: None))

    def taking(self) -> bool:
        """Whether the client, which reads too slowly, has taken anything since the last time this was asked."""
        passing = self._answer is None or self._answer.passing
        return not passing or self._gone or self._writer.taking()

    # Claiming

    def _claim_when_whole(self, now: float) -> None:
        if self._begun and self._complete and not self._over and not self._tasks and self._exchange is None:
            if len(self._body) > self._gate.max_request_bytes:
                self._too_large(now)
                return
            self._writer.timer.disarm()
            self._later(self._admit())

    async def _admit(self) -> None:
        head = self._head
        request = KeyedRequest(head.method, head.target, head.fields, bytes(self._body))
        admitted = await self._gate.admit(self._keyed, request)
        if self._gone and not isinstance(admitted, KeyRun):
            self._leave()
        elif isinstance(admitted, KeyRefusal):
            self._say(admitted)
        elif isinstance(admitted, KeyReplay):
            self._finish(lambda now: self._replay(admitted, now))
        else:
            if isinstance(admitted, KeyRun):
                if self._gone:  # nothing was sent, and the client has left
                    await admitted.release("client_gone")
                    self._leave()
                    return
                self._run = admitted
            self._begin_exchange()

    def _begin_exchange(self) -> None:
        observer: ExchangeObserver = self._sent
        if self._observer is not None:
            observer = PairOfObservers(self._sent, self._observer)
        now = self._context.clock()
        exchange = self._exchange = Exchange(self._context, self, self._route, self._head, now, observer)
        if self._run is not None:
            exchange.engine.repeatable_until = -math.inf  # once, whatever its method allows
        if self._head.framing is not NONE:
            exchange.whole_body(bytes(self._body))
        self._body.clear()
        exchange.begin(now)

    # Answering

    def _begin_passing(self, now: float) -> None:
        """Pass on what was held back of the answer, and the rest as it comes."""
        answer = self._answer
        assert answer is not None
        self._stop_timer()
        answer.passing = True
        self._pass_on(answer.head, answer.added, bytes(answer.held), False, now)  # noqa: FBT003
        answer.held.clear()

    def _stop_holding(self) -> None:
        self._hold = None
        if self._answer is not None and not self._answer.passing and not self._over:
            self._begin_passing(self._context.clock())

    def _keep(self, answer: "_Answer", trailers: bytes) -> None:
        self._stop_timer()
        self._over = True
        self._later(self._settle(answer, trailers))  # whatever fails in there is seen to by `_worked`

    async def _settle(self, answer: "_Answer", trailers: bytes) -> None:
        """Write down how it ended, then let the client have it."""
        run, head = self._run, answer.head
        assert run is not None
        stored = answer.stored()
        released = self._keyed.contract is not None and head.status in self._keyed.contract.released_by
        word = (field_values(head.fields, OUTCOME_FIELD) or [b""])[0].lower()
        if word == b"not-applied":
            await run.release("service")
        elif head.status >= 500 and word != b"applied":
            await run.doubt(str(head.status), stored)
        elif released and word != b"applied":
            await run.release(str(head.status))
        else:
            await run.complete(stored)

        def write(now: float) -> None:
            if answer.passing:
                self._writer.end(answer.last, answer.last_trailers, now)
            else:
                self._writer.respond(head, answer.added, bytes(answer.held), True, now, trailers)  # noqa: FBT003

        self._finish(write)

    async def _end(self, ending: Coroutine[Any, Any, bool], write: _Write) -> None:
        await ending
        self._finish(write)

    def _replay(self, replay: KeyReplay, now: float) -> None:
        answer = replay.answer
        if answer is None or answer.body is None:
            answer = _told(replay)
        head = ResponseHead(answer.status, answer.line, 1)
        head.fields = answer.fields
        bodiless = answer.status in (204, 304)
        if not bodiless:
            head.fields += b"Content-Length: %d\r\n" % answer.length
            head.framing, head.length = LENGTH, answer.length
        body = b"" if self._head.to_head or bodiless else answer.body or b""
        self._writer.respond(head, REPLAYED_LINE, body, True, now)  # noqa: FBT003

    def _say(self, refusal: KeyRefusal) -> None:
        added = b"" if refusal.retry_after is None else b"Retry-After: %d\r\n" % refusal.retry_after
        problem = Problem(refusal.status, refusal.reason, refusal.detail, self._route.name)
        self._finish(lambda now: self._writer.refuse(problem, added, now))

    def _too_large(self, now: float) -> None:
        del now
        self._say(self._gate.too_large(self._keyed))

    def _pass_on(
        self,
        head: ResponseHead,
        added: bytes,
        body: bytes,
        complete: bool,  # noqa: FBT001
        now: float,
        trailers: bytes = b"",
    ) -> None:
        if not self._gone:
            self._writer.respond(head, added, body, complete, now, trailers)

    def _finish(self, write: _Write) -> None:
        """The last word to the client, if it is still there."""
        self._over = True
        try:
            if not self._gone:
                self._gone = True  # the connection goes on to its next request
                write(self._context.clock())
        finally:
            self._leave()

    def _leave(self) -> None:
        if not self._refused:
            self._refused = True
            self._over = True
            self._stop_timer()
            self.timer.retire()
            self._context.busy -= 1

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._context.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        # A fault of our own: the client is not left waiting, and the key is unknown when its lease lapses.
        self._context.loop.call_exception_handler({"message": "an ingress request failed", "exception": error})
        if self._run is not None:
            self._run.abandon()
        try:
            if self._exchange is not None:
                self._exchange.on_client_gone()  # what it has sent, it waits for no more
            if not self._gone:
                self._gone = True
                self._writer.reset()
        finally:
            self._leave()

    def _stop_timer(self) -> None:
        if self._hold is not None:
            self._hold.cancel()
            self._hold = None

    def _on_own_timer(self, now: float) -> None:
        if self._exchange is not None:
            self._exchange.on_timer(now)


def _told(replay: KeyReplay) -> StoredAnswer:
    """The answer in the place of one whose content is not kept: its status, whatever number it is, and a problem."""
    answer, status = replay.answer, replay.status
    detail = "the first request with this key was answered so; the content of the answer is not kept"
    if replay.unreadable:
        detail = "the first request with this key was answered so; the content of the answer can not be read any more"
    fields = b""
    if answer is not None:
        detail += f": {answer.length} bytes" + (f", SHA-256 {answer.digest.hex()}" if answer.digest else "")
        kept = [line for line in answer.fields.split(b"\r\n") if not line.lower().startswith(b"content-")]
        fields = b"\r\n".join(kept)
    content = {"type": TYPE_PREFIX + BODY_NOT_KEPT, "status": status, "detail": detail, "reason": BODY_NOT_KEPT}
    line = b"%d Replayed" % status if answer is None else answer.line
    fields += b"Content-Type: application/problem+json\r\n"
    return answer_of(status, line, fields, json.dumps(content).encode() + b"\n")


class _Answer:
    """The service's answer, held back until it is kept, or passed on as it comes when it is too large or too slow."""

    __slots__ = ("_digest", "added", "head", "held", "last", "last_trailers", "length", "limit", "passing", "too_large")

    def __init__(self, head: ResponseHead, added: bytes, limit: int) -> None:
        self.head = head
        self.added = added
        self.limit = limit
        self.held = bytearray()
        self.length = 0
        self.passing = self.too_large = False
        self.last = self.last_trailers = b""
        self._digest = sha256()

    def take(self, data: bytes) -> None:
        """More of the body."""
        self._digest.update(data)
        self.length += len(data)
        if not self.passing:
            self.held += data
        self.too_large = self.length > self.limit

    def stored(self) -> StoredAnswer:
        """As it is kept: without its body if that was not held."""
        head = self.head
        if not self.passing and not self.too_large:
            return answer_of(head.status, head.line, head.fields, bytes(self.held))
        fields = kept_fields(head.fields)
        return StoredAnswer(head.status, head.line, fields, None, self.length, self._digest.digest())


class _SentAttempts(ExchangeObserver):
    """Whether any attempt may have reached the service."""

    __slots__ = ("_attempts", "_unsent")

    def __init__(self) -> None:
        self._attempts = 0
        self._unsent = 0

    @property
    def none(self) -> bool:
        """Whether it is proven for every attempt that no byte of it was sent."""
        return self._attempts == self._unsent

    def on_attempt(self, now: float, number: int, kind: AttemptKind, owner: ConnectionOwner) -> None:
        del now, number, kind, owner
        self._attempts += 1

    def on_fault(self, now: float, fault: Fault, verdict: Verdict, *, sent: bool) -> None:
        del now, fault, verdict
        if not sent:
            self._unsent += 1
