"""Forecasts of a request, made by the engine itself, with dice that show the least and the most."""

import difflib
import math
from dataclasses import dataclass
from typing import Final

from sidecar.engine.classify import classify
from sidecar.engine.destination import UNLISTED, Destination
from sidecar.engine.driver import Driver, DriverPhase
from sidecar.engine.outcome import FailureClass, Fault
from sidecar.engine.policy import DestinationPolicy, RetryPolicy
from sidecar.engine.retry import RetryState
from sidecar.engine.verdict import Refusal
from sidecar.governance.policy.resolve import Origin
from sidecar.governance.policy.snapshot import DestinationSnapshot, Snapshot
from sidecar.idempotency.fingerprint import is_json_type
from sidecar.idempotency.key import field_values
from sidecar.proxy.host_table import HostTable
from sidecar.proxy.key_dialect import UNSAFE_METHODS, KeyDialect, dialect_of
from sidecar.wire.authority import parse_authority
from sidecar.wire.head import RequestHead

_BAD_GATEWAY: Final = 502
_GATEWAY_TIMEOUT: Final = 504
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
    """The assumed outcome of every attempt: a status with its Retry-After, or a fault. Times are in seconds."""

    status: int | None
    fault: Fault | None
    retry_after: float | None
    took: float
    rate: float
    """Requests per second to the destination before this one: they are what retries are paid from."""

    def __str__(self) -> str:
        return f"answers {self.status}" if self.fault is None else f"ends in {self.fault.value}"

    def class_under(self, policy: RetryPolicy) -> FailureClass | None:
        """The failure class under `policy`; None for an answer that is no failure."""
        if self.fault is not None:
            return classify(policy, self.fault)
        return classify(policy, self.status) if self.status is not None and self.status >= 400 else None


@dataclass(frozen=True, slots=True)
class Turn:
    """One attempt and what is made of it. `waits` are the shortest and the longest back-off, None without a retry.

    `refusal` is why a retry that was wanted is not made; `perhaps` is a refusal that only a long back-off leads to.
    `late_after`: seconds after its begin at which it is late; it goes on then, and a retry beside it.
    """

    attempt: int
    waits: tuple[float, float] | None
    refusal: Refusal | None
    perhaps: Refusal | None
    settings: tuple[str, ...]
    late_after: float | None = None
    ends: bool = True
    """Whether it comes to its outcome before the deadline, and before another one of the request."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The attempts, and what the caller gets: the status, of which attempt, and when.

    502 and 504 are the sidecar's own where the attempts end in faults. `seconds`: at least and at most.
    """

    turns: list[Turn]
    delivered: int
    status: int | None
    seconds: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a request: a destination's name, its policy, and the origins of its numbers."""

    name: str
    because: str
    policy: DestinationPolicy
    provenance: dict[str, Origin]
    dialect: KeyDialect | None = None
    """The form of the keys that writes without one are given; None where the destination does not honour keys."""
    destination_policy: DestinationPolicy | None = None
    """The destination's policy where `policy` is of a route: budget, breaker and limit are governed by it."""

    @property
    def governing(self) -> DestinationPolicy:
        """The policy of what all requests to the destination share."""
        return self.policy if self.destination_policy is None else self.destination_policy


def way_of(head: RequestHead, snapshot: Snapshot) -> Way | None:
    """The destination of a request that a client sends to the egress port; None when it is refused as unlisted."""
    host, port = parse_authority(head.host)
    names = HostTable({host: name for name, destination in snapshot.destinations.items() for host in destination.hosts})
    name = names.find(host, port or 80)
    if name is not None:
        return _named(name, host, head, snapshot.destinations[name])
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


def _named(name: str, host: str, head: RequestHead, destination: DestinationSnapshot) -> Way:
    because = f"by its host {host}"
    dialect = dialect_of(destination.key, destination.policy)
    path = _path(head.target)
    for route in destination.routes:
        if route.match.covers(head.method, path):
            return Way(
                name,
                f"{because}, on its route {route.name} ({route.origin.place})",
                route.policy,
                dict(route.resolution.provenance),
                dialect,
                destination.policy,
            )
    return Way(name, because, destination.policy, dict(destination.provenance), dialect)


def _path(target: bytes) -> bytes:
    """The path of a target in absolute form."""
    rest = target.partition(b"://")[2]
    return b"/" + rest.partition(b"?")[0].partition(b"/")[2]


def repeatable(head: RequestHead, way: Way) -> tuple[float, str]:
    """The seconds after its start until which a request that may have run is sent again, and why, in words."""
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


def forecast(way: Way, until: float, body_bytes: int, outcome: Outcome) -> Forecast:
    """Each attempt in turn, towards a destination that was well so far, if every attempt comes to `outcome`."""
    shortest = _Run(way, until, body_bytes, outcome, 0.0)
    longest = _Run(way, until, body_bytes, outcome, _LONGEST_ROLL)
    turns = []
    for number, step in shortest.steps.items():
        other = longest.steps.get(number, _Step())
        waits = None if step.delay is None else (step.delay, step.delay if other.delay is None else other.delay)
        perhaps = other.refusal if step.refusal is None and step.delay is not None else None
        settings = _deciding(outcome, step)
        turns.append(Turn(number, waits, step.refusal, perhaps, settings, step.late_after, number in shortest.ended))
    return Forecast(turns, shortest.delivered, shortest.status, (shortest.seconds, longest.seconds))


def _deciding(outcome: Outcome, step: "_Step") -> tuple[str, ...]:
    if step.refusal is not None:
        return DECIDING[step.refusal]
    if step.late_after is not None:
        return ("per_attempt_timeout",) if step.delay is None else ("per_attempt_timeout", "retry.backoff.base")
    wanted = "retry.faults" if outcome.fault is not None else "retry.statuses"
    if step.delay is None and outcome.status is not None and outcome.status < 400:
        return ()
    return (wanted,) if step.delay is None else (wanted, "retry.backoff.base")


@dataclass(slots=True)
class _Step:
    """One attempt of a run. `late_after`: seconds after its begin; `delay`: the back-off granted after it."""

    began: float = 0.0
    late_after: float | None = None
    delay: float | None = None
    refusal: Refusal | None = None


class _Run:
    """One request in virtual time, driven as every host drives one, with dice that always show `roll`."""

    def __init__(self, way: Way, until: float, body_bytes: int, outcome: Outcome, roll: float) -> None:
        self.steps: dict[int, _Step] = {}
        self.delivered = 0
        self.status: int | None = None
        self.seconds = 0.0
        self._outcome = outcome
        self._ends: dict[int, float] = {}
        self.ended: set[int] = set()
        self._armed = math.inf
        destination = Destination(way.name, way.governing, lambda: roll, 0.0)
        now = began = way.policy.budget.window
        before = min(_MOST_REQUESTS, int(outcome.rate * now))
        for number in range(before):
            destination.budget.deposit(now * number / before)
        exchange = RetryState(destination, now, now + until)
        exchange.policy = way.policy
        exchange.deadline = now + way.policy.timeout
        exchange.replayable = body_bytes <= way.policy.retry.replay_buffer_bytes
        driver = Driver(self, exchange)
        driver.begin(now)
        while driver.phase is not DriverPhase.OVER:
            now = self._next(driver)
        self.seconds = now - began

    # What the driver tells

    def send(self, number: int, now: float) -> None:
        """An attempt is made: it will end as all do."""
        self.steps[number] = _Step(now)
        self._ends[number] = math.inf if self._outcome.fault is Fault.TIMEOUT else now + self._outcome.took

    def call_off(self, number: int) -> None:
        """Its outcome is not wanted."""
        self._ends.pop(number, None)

    def arm(self, at: float) -> None:
        """The instant at which something is due."""
        self._armed = at

    def deliver(self, number: int, refusal: Refusal | None, now: float) -> None:
        """The end."""
        del now
        self.delivered = number
        if number in self.ended:
            self.status = self._outcome.status if self._outcome.fault is None else _BAD_GATEWAY
        else:
            self.status = _GATEWAY_TIMEOUT
        if refusal is not None:
            self.steps[max(self.steps)].refusal = refusal

    def refuse(self, refusal: Refusal, now: float) -> None:
        """Never sent: a destination that was well refuses nothing."""
        raise AssertionError(refusal, now)

    # What happens

    def _next(self, driver: Driver) -> float:
        number, at = min(self._ends.items(), key=lambda end: end[1], default=(0, math.inf))
        now = min(at, self._armed)
        phase, elder = driver.phase, driver.elder
        current = max(self.steps)
        if at <= self._armed:
            del self._ends[number]
            self.ended.add(number)
            outcome = self._outcome
            if outcome.fault is not None:
                sent = outcome.fault is not Fault.CONNECT_FAILURE
                driver.on_fault(number, now, outcome.fault, sent=sent)
            else:
                assert outcome.status is not None
                driver.on_status(number, now, outcome.status, outcome.retry_after)
        else:
            number = current
            tally = driver.exchange.destination.tally
            before = tally.late_attempts
            driver.on_timer(now)
            if tally.late_attempts > before:
                self.steps[current].late_after = now - self.steps[current].began
        if driver.phase is DriverPhase.BACKING_OFF and (phase is not DriverPhase.BACKING_OFF or elder != driver.elder):
            self.steps[number].delay = round(self._armed - now, 9)  # of two instants
        return now
