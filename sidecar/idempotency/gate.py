"""The gate in front of the service: what becomes of a request with an Idempotency-Key, and of how its run ended.

It decides; its caller (`proxy.gated_exchange`) sends, and answers what it is told to answer.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sidecar.governance.documents.route_match import path_of
from sidecar.governance.policy.contract import IngressRoute, KeyContract
from sidecar.governance.policy.partner_contract import ContractVersion
from sidecar.idempotency.answer import (
    AnswerSeal,
    StoredAnswer,
    UnreadableAnswer,
    decode_answer,
    encode_answer,
    redacted_answer,
)
from sidecar.idempotency.fingerprint import RequestBody, fingerprint_of
from sidecar.idempotency.key import MalformedKey, digest_of_parts, field_values, parse_key, text_key
from sidecar.idempotency.ledger import Complete, Doubt, Event, KeyClaim, LedgerRuling, Release, Renew
from sidecar.idempotency.pointer import ABSENT, value_at
from sidecar.idempotency.record import FENCE_BYTES, KeyRecord, KeyState
from sidecar.idempotency.register import Register
from sidecar.idempotency.store import StoreUnavailable

READS: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"QUERY"))
"""Methods without side effects (RFC 9110 §9.2.1): without a route they are no drift."""
_POLL_SECONDS: Final = (0.02, 0.25)
"""Between two looks at a key that is in flight: first, and at most."""
_WITHDRAW_SECONDS: Final = 1.0
_MOST_WITHDRAWALS: Final = 1000
"""Claims to be withdrawn at a time. One beyond it, if it was granted, becomes unknown when its lease lapses."""


class KeyOutcome(Enum):
    """The fate of a request on a route with a contract, and of its run. Labels of metrics."""

    NEW = "new"
    REPLAYED = "replayed"
    UNREADABLE = "unreadable"
    """Replayed by its status alone: the answer is encrypted with a key that is gone, or damaged."""
    IN_FLIGHT = "in_flight"
    KEY_REUSED = "key_reused"
    OUTCOME_UNKNOWN = "outcome_unknown"
    KEY_EXPIRED = "key_expired"
    KEY_MISSING = "key_missing"
    KEY_MALFORMED = "key_malformed"
    STORE_UNAVAILABLE = "store_unavailable"
    WITHOUT_KEY = "without_key"
    """Passed: the route does not require one."""
    UNPROTECTED = "unprotected"
    """Passed: the store was down, on a best_effort route."""
    TOO_LARGE = "body_too_large"
    COMPLETED = "completed"
    RELEASED = "released"
    UNKNOWN = "unknown"
    UNSETTLED = "unsettled"
    """The end of the run could not be written down: the key becomes unknown when its lease lapses."""


RUN_ENDS: Final = frozenset((KeyOutcome.COMPLETED, KeyOutcome.RELEASED, KeyOutcome.UNKNOWN, KeyOutcome.UNSETTLED))
"""Of the outcomes, those that say how a run ended; the others say what became of a request."""
PASSED_UNGUARDED: Final = frozenset((KeyOutcome.WITHOUT_KEY, KeyOutcome.UNPROTECTED))
"""Of the outcomes, those of requests that were run without the gate having a hand in it."""


class ProbeOutcome(Enum):
    """An answer of the service about a key. Labels of metrics."""

    APPLIED = "applied"
    NOT_APPLIED = "not_applied"
    UNDECIDED = "undecided"
    """It answered, with a status that stands for neither."""
    FAILED = "failed"
    """It did not answer, or the store did not."""
    SETTLED = "settled"
    """It was settled otherwise in the meantime."""


class KeyedRequest(Struct, frozen=True):
    """A request that has been read whole. `fields` are its lines, each ended by CRLF."""

    method: bytes
    target: bytes
    fields: bytes
    body: bytes


class KeyRefusal(Struct, frozen=True):
    """An answer of the contract: `reason` is a word of docs/refusals.md, `retry_after` whole seconds."""

    status: int
    reason: str
    detail: str
    retry_after: int | None = None


class KeyReplay(Struct, frozen=True):
    """The answer that the first request got. None: it is not kept any more, but `status` is.

    `unreadable`: it is kept, and encrypted with a key that is gone, or damaged.
    """

    status: int
    answer: StoredAnswer | None
    unreadable: bool = False


class Unguarded(Struct, frozen=True):
    """The request is to be run without the gate having a hand in it."""


class UnknownKey(Struct, frozen=True):
    """A key whose outcome the service may be asked for: `digest` is what it is known by, `key` what the client sent.

    `fields` are the lines that carry the key and say whose it is; `since` is by the store's clock.
    """

    route: IngressRoute
    digest: bytes
    key: bytes
    fields: tuple[tuple[str, str], ...]
    since: float


class KeyRun:
    """A request that was granted its run: `renewed` keeps its lease, one of the other three ends it."""

    __slots__ = ("_ended", "_gate", "_held", "_key", "_renewal", "_unknown", "route")

    def __init__(
        self, gate: "IngressGate", route: IngressRoute, key: bytes, held: KeyRecord, unknown: UnknownKey | None = None
    ) -> None:
        """`unknown` is what the service is asked by, should the outcome become so; None where it is not asked."""
        self.route = route
        self._unknown = unknown
        self._gate = gate
        self._key = key
        self._held = held
        self._ended = False
        self._renewal: asyncio.Task[None] | None = asyncio.get_running_loop().create_task(self._renew())

    async def complete(self, answer: StoredAnswer) -> bool:
        """The service has answered for good."""
        stored = self._gate.kept(self.route, answer, self._key)
        return await self._end(Complete(self._held, answer.status, stored), KeyOutcome.COMPLETED)

    async def release(self, why: str) -> bool:
        """It is proven that nothing was done."""
        return await self._end(Release(self._held, why), KeyOutcome.RELEASED)

    async def doubt(self, why: str, answer: StoredAnswer | None = None) -> bool:
        """It may have been done. `answer` is the error that the caller gets."""
        stored = b"" if answer is None else self._gate.kept(self.route, answer, self._key)
        status = 0 if answer is None else answer.status
        done = await self._end(Doubt(self._held, why, status, stored), KeyOutcome.UNKNOWN)
        if self._unknown is not None:
            self._gate.ask(replace(self._unknown, since=self._gate.register.now()))
        return done

    def abandon(self) -> None:
        """Leave the run unsettled: its lease is renewed no more, and when it lapses the outcome is unknown."""
        if not self._ended:
            self._stop_renewing()
            self._gate.count(self.route, KeyOutcome.UNSETTLED)

    async def _end(self, event: Event, outcome: KeyOutcome) -> bool:
        self._stop_renewing()
        try:
            applied = await self._gate.register.apply(self._key, event)
        except StoreUnavailable:
            self._gate.count(self.route, KeyOutcome.UNSETTLED)
            return False
        done = applied.ruling is LedgerRuling.DONE
        self._gate.count(self.route, outcome if done else KeyOutcome.UNSETTLED)
        return done

    def _stop_renewing(self) -> None:
        self._ended = True
        if self._renewal is not None:
            self._renewal.cancel()

    async def _renew(self) -> None:
        while not self._ended:
            await asyncio.sleep(self._held.lease / 3)
            try:
                applied = await self._gate.register.apply(self._key, Renew(self._held))
            except StoreUnavailable:
                continue
            if applied.ruling is not LedgerRuling.DONE or applied.record is None:
                return
            self._held = applied.record


Admitted = KeyRun | KeyReplay | KeyRefusal | Unguarded


class IngressGate:
    """The contract of one service. `routes` may be replaced while requests are under way.

    `chance` gives so many random bytes; `lease` is seconds. `on_undeclared` is told of requests with side effects that
    no route declares.
    """

    def __init__(
        self,
        register: Register,
        routes: Sequence[IngressRoute],
        *,
        lease: float,
        max_request_bytes: int,
        max_response_bytes: int,
        seal: AnswerSeal | None = None,
        chance: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.register = register
        self.routes = tuple(routes)
        self.contract_version = ContractVersion()
        self.lease = lease
        self.max_request_bytes = max_request_bytes
        self.max_response_bytes = max_response_bytes
        self.seal = seal
        self._chance = chance
        self.on_unknown: Callable[[UnknownKey], None] | None = None
        """Is told of keys whose outcome is unknown, on routes whose service may be asked."""
        self.on_unreadable: Callable[[IngressRoute, bytes, str], None] | None = None
        """Is told of kept answers that can not be read: the route, what the key is known by, and why."""
        self.undeclared: dict[str, int] = {}
        """Requests with side effects that no route declares, by method."""
        self.on_undeclared: Callable[[bytes, bytes], None] | None = None
        self.unknown_waiting = 0
        """Keys whose outcome waits to be found out, when they were counted last."""
        self._counts: dict[str, dict[KeyOutcome, int]] = {}
        self._probe_counts: dict[str, dict[ProbeOutcome, int]] = {}
        self._withdrawals: set[asyncio.Task[None]] = set()

    @property
    def counts(self) -> Mapping[str, Mapping[KeyOutcome, int]]:
        """Counts of requests by outcome since the start, by the name of their route."""
        return self._counts

    def count(self, route: IngressRoute, outcome: KeyOutcome) -> None:
        """One more."""
        counts = self._counts.setdefault(route.name, dict.fromkeys(KeyOutcome, 0))
        counts[outcome] += 1

    @property
    def probe_counts(self) -> Mapping[str, Mapping[ProbeOutcome, int]]:
        """Answers of the service about unknown keys since the start, by the name of their route."""
        return self._probe_counts

    def count_probe(self, route: IngressRoute, outcome: ProbeOutcome) -> None:
        """The service was asked once more."""
        counts = self._probe_counts.setdefault(route.name, dict.fromkeys(ProbeOutcome, 0))
        counts[outcome] += 1

    def route_of(self, method: bytes, target: bytes) -> IngressRoute | None:
        """The first route that matches, if it has a contract. What matches none, and is no read, is counted."""
        path = path_of(target)
        for route in self.routes:
            if route.match.covers(method, path):
                return None if route.contract is None else route
        if method not in READS and self.routes:
            word = method.decode("ascii", "replace")
            word = word if word in ("POST", "PUT", "PATCH", "DELETE") else "other"
            self.undeclared[word] = self.undeclared.get(word, 0) + 1
            if self.on_undeclared is not None:
                self.on_undeclared(method, path)
        return None

    def kept(self, route: IngressRoute | None, answer: StoredAnswer, key: bytes) -> bytes:
        """The answer as the store is given it: redacted as its route says (None: it is gone), and encrypted."""
        redaction = None if route is None or route.contract is None else route.contract.redaction
        if redaction is not None:
            answer = redacted_answer(answer, redaction)
        return encode_answer(answer, key, self.seal)

    async def close(self) -> None:
        """Let go of the store."""
        for task in self._withdrawals:
            task.cancel()
        await asyncio.gather(*self._withdrawals, return_exceptions=True)
        await self.register.close()

    async def admit(self, route: IngressRoute, request: KeyedRequest) -> Admitted:
        """Claim the request's key, and say what is to become of it. It may take as long as the route's `wait`."""
        contract = route.contract
        assert contract is not None
        body = RequestBody(request.body, (field_values(request.fields, b"content-type") or [b""])[0])
        try:
            key = _key_of(contract, request, body)
        except MalformedKey as error:
            return self._refused(route, KeyOutcome.KEY_MALFORMED, 400, f"{_place(contract)}: {error}")
        if key is None:
            if contract.required:
                return self._refused(route, KeyOutcome.KEY_MISSING, 400, f"{_place(contract)} is required here")
            self.count(route, KeyOutcome.WITHOUT_KEY)
            return Unguarded()
        scope = _scope_of(contract, request)
        digest = digest_of_parts(route.name.encode(), scope, key)
        claim = KeyClaim(
            fence=self._chance(FENCE_BYTES),
            fingerprint=fingerprint_of(request.method, request.target, body, contract.ignored),
            lease=self.lease,
            retention=contract.retention,
            rejects=contract.rejects,
            takes_over=contract.takes_over,
            route=route.name,
            scope=scope,
        )
        unknown = None
        if contract.probe is not None:
            unknown = UnknownKey(route, digest, key, _asking_fields(contract, request), 0.0)
        return await self._claim(route, contract, digest, claim, unknown)

    def ask(self, unknown: UnknownKey) -> None:
        """Tell the prober of the service that the outcome of a key is unknown."""
        if self.on_unknown is not None:
            self.on_unknown(unknown)

    def too_large(self, route: IngressRoute) -> KeyRefusal:
        """The answer to a request whose body is longer than the gate reads."""
        return self._refused(
            route,
            KeyOutcome.TOO_LARGE,
            413,
            f"the body of a keyed request is larger than {self.max_request_bytes} bytes",
        )

    async def _claim(
        self, route: IngressRoute, contract: KeyContract, digest: bytes, claim: KeyClaim, unknown: UnknownKey | None
    ) -> Admitted:
        register = self.register
        until = asyncio.get_running_loop().time() + contract.wait
        pause = _POLL_SECONDS[0]
        while True:
            try:
                applied = await register.apply(digest, claim)
            except StoreUnavailable:
                self._withdraw(digest, claim)
                if contract.fails_open:
                    self.count(route, KeyOutcome.UNPROTECTED)
                    return Unguarded()
                detail = "the store of idempotency keys does not answer; nothing was sent"
                return self._refused(route, KeyOutcome.STORE_UNAVAILABLE, 503, detail, 1)
            record = applied.record
            if applied.ruling is LedgerRuling.OUTCOME_UNKNOWN and unknown is not None and record is not None:
                self.ask(replace(unknown, since=record.at))
            match applied.ruling:
                case LedgerRuling.GRANTED:
                    assert record is not None
                    self.count(route, KeyOutcome.NEW)
                    return KeyRun(self, route, digest, record, unknown)
                case LedgerRuling.REPLAY:
                    assert record is not None
                    return self._replay(route, digest, record, KeyOutcome.REPLAYED)
                case LedgerRuling.OUTCOME_UNKNOWN if record is not None and record.answer:
                    return self._replay(route, digest, record, KeyOutcome.OUTCOME_UNKNOWN)
                case LedgerRuling.OUTCOME_UNKNOWN:
                    detail = "the first request with this key may have been executed, and its outcome is not known"
                    return self._refused(route, KeyOutcome.OUTCOME_UNKNOWN, 409, detail)
                case LedgerRuling.KEY_REUSED:
                    detail = "this key was used for another request"
                    return self._refused(route, KeyOutcome.KEY_REUSED, 422, detail)
                case LedgerRuling.KEY_EXPIRED:
                    detail = "this key was used, longer ago than answers are kept"
                    return self._refused(route, KeyOutcome.KEY_EXPIRED, 410, detail)
                case _:
                    left = until - asyncio.get_running_loop().time()
                    if left <= 0:
                        detail = "the first request with this key is still running"
                        return self._refused(route, KeyOutcome.IN_FLIGHT, 409, detail, 1)
                    await asyncio.sleep(min(pause, left))
                    pause = min(pause * 2, _POLL_SECONDS[1])

    def _withdraw(self, digest: bytes, claim: KeyClaim) -> None:
        """A claim whose answer did not come may have been granted: release it, as soon as the store answers again."""
        held = KeyRecord(
            KeyState.IN_FLIGHT,
            claim.fence,
            lease=claim.lease,
            retention=claim.retention,
            fingerprint=claim.fingerprint,
            route=claim.route,
            scope=claim.scope,
        )

        async def release() -> None:
            until = asyncio.get_running_loop().time() + claim.lease
            while asyncio.get_running_loop().time() < until:
                await asyncio.sleep(_WITHDRAW_SECONDS)
                try:
                    await self.register.apply(digest, Release(held, "not_sent"))
                except StoreUnavailable:
                    continue
                return

        if len(self._withdrawals) < _MOST_WITHDRAWALS:
            task = asyncio.get_running_loop().create_task(release())
            self._withdrawals.add(task)
            task.add_done_callback(self._withdrawals.discard)

    def _replay(self, route: IngressRoute, digest: bytes, record: KeyRecord, outcome: KeyOutcome) -> KeyReplay:
        try:
            answer = decode_answer(record.answer, digest, self.seal)
        except UnreadableAnswer as error:
            # It was run: whatever became of its answer, it is not run again.
            self.count(route, KeyOutcome.UNREADABLE)
            if self.on_unreadable is not None:
                self.on_unreadable(route, digest, str(error))
            return KeyReplay(record.status or 200, None, unreadable=True)
        self.count(route, outcome)
        return KeyReplay(record.status or 200, answer)

    def _refused(
        self, route: IngressRoute, outcome: KeyOutcome, status: int, detail: str, retry_after: int | None = None
    ) -> KeyRefusal:
        self.count(route, outcome)
        return KeyRefusal(status, outcome.value, detail, retry_after)


def key_of_written(route: IngressRoute, written: bytes, scope_values: Mapping[bytes, Sequence[bytes]]) -> bytes:
    """The 32 bytes that a key is known by, as `admit` makes them. Raises MalformedKey."""
    contract = route.contract
    assert contract is not None
    key = parse_key([written]) if contract.pointer is None else text_key(written.decode("ascii", "replace"))
    assert key is not None
    return digest_of_parts(route.name.encode(), scope_digest(contract, scope_values), key)


def scope_digest(contract: KeyContract, values: Mapping[bytes, Sequence[bytes]]) -> bytes:
    """Of the caller, by the headers that tell callers apart: name, number of values, values."""
    parts: list[bytes] = []
    for name in contract.scope:
        each = values.get(name, ())
        parts += [name, b"%d" % len(each), *each]
    return digest_of_parts(*parts)


def _key_of(contract: KeyContract, request: KeyedRequest, body: RequestBody) -> bytes | None:
    if contract.pointer is None:
        return parse_key(field_values(request.fields, contract.header))
    if not body.is_json:
        return None
    value = value_at(body.document, contract.pointer)
    return None if value is ABSENT else text_key(value)


def _asking_fields(contract: KeyContract, request: KeyedRequest) -> tuple[tuple[str, str], ...]:
    """The fields of a request by which its key, and whose it is, are told again."""
    names = contract.scope if contract.pointer is not None else (contract.header, *contract.scope)
    return tuple(
        (name.decode("ascii"), value.decode("latin-1"))
        for name in dict.fromkeys(names)
        for value in field_values(request.fields, name)
    )


def _place(contract: KeyContract) -> str:
    if contract.pointer is None:
        return f"the header {contract.header.decode('ascii')}"
    return f"the field /{'/'.join(contract.pointer)} of the JSON body"


def _scope_of(contract: KeyContract, request: KeyedRequest) -> bytes:
    return scope_digest(contract, {name: field_values(request.fields, name) for name in contract.scope})
