"""What would happen to a request, asked of the engine itself, with dice that show the least and the most."""

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sidecar.engine.classify import classify
from sidecar.engine.destination import Destination
from sidecar.engine.outcome import FailureClass, Fault
from sidecar.engine.policy import DestinationPolicy, RetryPolicy
from sidecar.engine.retry import Admission, Exchange
from sidecar.engine.verdict import Deliver, Refusal, Retry
from sidecar.governance.policy.resolve import Origin
from sidecar.governance.policy.snapshot import DestinationSnapshot, Snapshot
from sidecar.idempotency.fingerprint import is_json_type
from sidecar.idempotency.key import field_values
from sidecar.proxy.host_table import HostTable
from sidecar.proxy.key_dialect import UNSAFE_METHODS, KeyDialect, dialect_of
from sidecar.wire.authority import parse_authority
from sidecar.wire.head import RequestHead

UNLISTED: Final = "unlisted"

_LONGEST_ROLL: Final = 1 - 2**-53
_MOST_REQUESTS: Final = 100_000

DECIDING: Final[dict[Refusal, tuple[str, ...]]] = {
    Refusal.COMMITTED: (),
    Refusal.PEER_REFUSED: (),
    Refusal.NOT_REPLAYABLE: ("retry.replay_buffer",),
    Refusal.NOT_IDEMPOTENT: ("retry.methods", "idempotency_key.honours", "idempotency_key.retention"),
    Refusal.ATTEMPTS_EXHAUSTED: ("retry.max_attempts",),
    Refusal.RETRY_AFTER_TOO_LONG: ("retry.retry_after.max",),
    Refusal.DEADLINE: ("timeout", "retry.min_remaining"),
    Refusal.DRAINING: (),
    Refusal.BREAKER_OPEN: ("breaker.consecutive_failures", "breaker.failure_ratio"),
    Refusal.CONCURRENCY_LIMIT: ("concurrency.limit",),
    Refusal.BUDGET_EXHAUSTED: ("budget.ratio", "budget.min_retries"),
}
"""The settings that each refusal follows from."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What every attempt comes to: a status with its Retry-After in seconds, or a fault. `took` is in seconds."""

    status: int | None
    fault: Fault | None
    retry_after: float | None
    took: float
    rate: float
    """Requests per second to the destination before this one: they are what retries are paid from."""

    def __str__(self) -> str:
        return f"answers {self.status}" if self.fault is None else f"ends in {self.fault.value}"

    def class_under(self, policy: RetryPolicy) -> FailureClass | None:
        """What it means for the next attempt; None for an answer that is no failure."""
        if self.fault is not None:
            return classify(policy, self.fault)
        return classify(policy, self.status) if self.status is not None and self.status >= 400 else None


@dataclass(frozen=True, slots=True)
class Turn:
    """One attempt and what is made of it. `waits` are the shortest and the longest back-off, None without a retry.

    `refusal` is why a retry that was wanted is not made; `perhaps` is a refusal that only a long back-off leads to.
    """

    attempt: int
    waits: tuple[float, float] | None
    refusal: Refusal | None
    perhaps: Refusal | None
    settings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """Where a request is sent: a destination's name, its policy, and the origins of its numbers."""

    name: str
    because: str
    policy: DestinationPolicy
    provenance: dict[str, Origin]
    dialect: KeyDialect | None = None
    """How writes without a key are given one; None where the destination does not honour keys."""


def way_of(head: RequestHead, snapshot: Snapshot) -> Way | None:
    """The destination of a request that a client sends to the egress port; None when it is refused as unlisted."""
    host, port = parse_authority(head.host)
    names = HostTable({host: name for name, destination in snapshot.destinations.items() for host in destination.hosts})
    name = names.find(host, port or 80)
    if name is not None:
        return _named(name, host, snapshot.destinations[name])
    if snapshot.egress.unlisted != "forward":
        return None
    because = (
        f"{no_host(head, snapshot)}; through HTTP_PROXY it is forwarded under the defaults, as below, "
        f"and with this Host at the egress port it is refused: 502 unlisted"
    )
    return Way(UNLISTED, because, snapshot.unlisted, dict(snapshot.unlisted_provenance))


def no_host(head: RequestHead, snapshot: Snapshot) -> str:
    """That no destination has the request's host, and which one may be meant."""
    host, _ = parse_authority(head.host)
    known = sorted({known for destination in snapshot.destinations.values() for known in destination.hosts})
    close = difflib.get_close_matches(host, known, n=1)
    meant = f": did you mean {close[0]}?" if close else f" (known are {', '.join(known)})" if known else ""
    return f"no destination has the host {host}{meant}"


def _named(name: str, host: str, destination: DestinationSnapshot) -> Way:
    dialect = dialect_of(destination.key, destination.policy)
    return Way(name, f"by its host {host}", destination.policy, dict(destination.provenance), dialect)


def repeatable(head: RequestHead, way: Way) -> tuple[float, str]:
    """How long after its start the request may be sent again though it may have been executed, and why, in words."""
    method = head.method.decode("ascii")
    if way.dialect is not None and way.dialect.in_body and head.method in UNSAFE_METHODS:
        return _repeatable_by_body(head, way, way.dialect)
    sent = head if way.dialect is None else way.dialect.keyed(head)
    seconds = way.policy.repeatable_for(head.method, keyed=sent.keyed)
    if seconds == math.inf:
        return seconds, f"{method} is idempotent (retry.methods, {way.provenance['retry.methods'].place})"
    if seconds > 0:
        place = way.provenance["idempotency_key.honours"].place
        has = "is given an idempotency key" if sent.fields != head.fields else "has an idempotency key"
        return seconds, f"it {has}, and {way.name} honours keys ({place})"
    if head.keyed:
        return seconds, f"{way.name} is not said to honour Idempotency-Keys"
    return seconds, f"{method} is not idempotent, and it has not exactly one Idempotency-Key"


def _repeatable_by_body(head: RequestHead, way: Way, dialect: KeyDialect) -> tuple[float, str]:
    """The same where the key stands in the body, which is supposed to be JSON where the Content-Type says so."""
    json = is_json_type((field_values(head.fields, b"content-type") or [b""])[0])
    seconds = way.policy.repeatable_for(head.method, keyed=json)
    if not json:
        return seconds, f"{way.name} wants the key in {dialect.place}, and its Content-Type is not JSON"
    place = way.provenance["idempotency_key.honours"].place
    return (
        seconds,
        f"its key stands in {dialect.place}, or is put there, and {way.name} honours keys ({place})",
    )


def forecast(way: Way, until: float, body_bytes: int, outcome: Outcome) -> list[Turn]:
    """Each attempt in turn, towards a destination that was well so far, if every attempt comes to `outcome`."""
    shortest = list(_played(way, until, body_bytes, outcome, 0.0))
    longest = list(_played(way, until, body_bytes, outcome, _LONGEST_ROLL))
    turns = []
    for number, (delay, refusal) in enumerate(shortest, start=1):
        other = longest[number - 1] if number <= len(longest) else (None, None)
        waits = None if delay is None else (delay, delay if other[0] is None else other[0])
        perhaps = other[1] if refusal is None and delay is not None else None
        turns.append(Turn(number, waits, refusal, perhaps, _deciding(outcome, delay, refusal)))
    return turns


def _deciding(outcome: Outcome, delay: float | None, refusal: Refusal | None) -> tuple[str, ...]:
    if refusal is not None:
        return DECIDING[refusal]
    wanted = "retry.faults" if outcome.fault is not None else "retry.statuses"
    if delay is None and outcome.status is not None and outcome.status < 400:
        return ()
    return (wanted,) if delay is None else (wanted, "retry.backoff.base")


def _played(
    way: Way, until: float, body_bytes: int, outcome: Outcome, roll: float
) -> Iterator[tuple[float | None, Refusal | None]]:
    """The back-off granted after each attempt, or why there is none, with dice that always show `roll`."""
    destination = Destination(way.name, way.policy, lambda: roll, 0.0)
    now = way.policy.budget.window
    before = min(_MOST_REQUESTS, int(outcome.rate * now))
    for number in range(before):
        destination.budget.deposit(now * number / before)
    exchange = Exchange(destination, now, now + until)
    exchange.replayable = body_bytes <= way.policy.retry.replay_buffer_bytes
    admission: Admission | Refusal = exchange.admit(now)
    while admission is Admission.GO:
        now += way.policy.per_attempt_timeout if outcome.fault is Fault.TIMEOUT else outcome.took
        if outcome.fault is Fault.TIMEOUT:
            verdict = exchange.on_late(now)
        elif outcome.fault is not None:
            verdict = exchange.on_fault(now, outcome.fault, sent=outcome.fault is not Fault.CONNECT_FAILURE)
        else:
            assert outcome.status is not None
            verdict = exchange.on_status(now, outcome.status, outcome.retry_after)
        if not isinstance(verdict, Retry):
            yield None, verdict.refusal if isinstance(verdict, Deliver) else None
            return
        now += verdict.delay
        admission = exchange.depart(now)
        yield verdict.delay, admission if isinstance(admission, Refusal) else None
