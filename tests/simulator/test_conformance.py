"""The simulator carries a request as `engine/driver.py` does: the order of calls that every host keeps to.

The client library runs on the driver itself, and the proxy is held to the same cases by `tests/vectors`. Here one
request at a time goes through a simulated pod, and through the driver in virtual time.
"""

import math
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from sidecar.engine.destination import Destination
from sidecar.engine.driver import Driver, DriverPhase
from sidecar.engine.outcome import Fault
from sidecar.engine.policy import BackoffPolicy, DestinationPolicy, RetryAfterPolicy, RetryPolicy
from sidecar.engine.retry import RetryState
from sidecar.engine.verdict import Refusal
from sidecar.simulator.fleet import FAST, Fleet
from sidecar.simulator.outcome import outcome
from sidecar.simulator.scenario import Scenario, Service, Trouble

BEGINS = 1.0
NEVER = 1000.0
"""Seconds: longer than any deadline here."""
POLICY = DestinationPolicy(
    timeout=6.0,
    per_attempt_timeout=1.0,
    retry=RetryPolicy(backoff=BackoffPolicy(base=0.001, max=0.001), retry_after=RetryAfterPolicy(max=3.0)),
)


@dataclass(frozen=True)
class Case:
    """Every attempt takes `took` and is answered 200; or `status` at once, or refused a connection, if there is one."""

    took: float = 0.02
    status: int | None = None
    retry_after: float | None = None
    dead: bool = False
    unsafe: bool = False
    leaves_after: float = math.inf
    max_attempts: int = 3
    timeout: float = 6.0

    @property
    def policy(self) -> DestinationPolicy:
        retry = replace(POLICY.retry, max_attempts=self.max_attempts)
        return replace(POLICY, retry=retry, timeout=self.timeout)


CASES = {
    "answered": Case(),
    "late, and answered before its retry": Case(took=1.5),
    "both late, and the elder answered": Case(took=3.0),
    "a write that is late": Case(took=1.5, unsafe=True),
    "never answered": Case(took=NEVER),
    "never answered, a write": Case(took=NEVER, unsafe=True),
    "503": Case(status=503),
    "503, a write": Case(status=503, unsafe=True),
    "503, one attempt": Case(status=503, max_attempts=1),
    "500": Case(status=500),
    "404": Case(status=404),
    "429 with a wish": Case(status=429, retry_after=2.0),
    "429 with a wish too long": Case(status=429, retry_after=4.0),
    "503 with a wish past the deadline": Case(status=503, retry_after=2.0, timeout=1.5),
    "no connection": Case(dead=True),
    "no connection, a write": Case(dead=True, unsafe=True),
    "its caller leaves": Case(took=3.0, leaves_after=0.5),
    "its caller leaves while both are late": Case(took=NEVER, leaves_after=2.5),
}


@dataclass
class Carried:
    """The outcome: attempts made, seconds until a good answer, why no retry was made."""

    attempts: int = 0
    seconds: float | None = None
    refusals: list[str] = field(default_factory=list)


def simulated(case: Case) -> Carried:
    troubles = [Trouble("caller", "burst", BEGINS, BEGINS, requests=1)]
    if case.status is not None:
        troubles.append(Trouble("payments", "error", 0.0, 100.0, status=case.status, retry_after=case.retry_after))
    if case.dead:
        troubles.append(Trouble("payments", "dead", 0.0, 100.0))
    caller = Service(
        "caller", rate=1e-9, deadline=case.leaves_after, unsafe=float(case.unsafe), calls={"payments": 1.0}
    )
    payments = Service("payments", workers=1000, service_time=case.took, spread="fixed")
    services = {"caller": caller, "payments": payments}
    run = Fleet(Scenario("one", 1, 20.0, 0.0, services, troubles), lambda _, __: case.policy).run()
    payments = run.services["payments"]
    return Carried(payments.attempts.total(), next(iter(run.latencies), None), sorted(outcome(run).refusals))


class VirtualHost:
    """Makes attempts of one request in virtual time, and does what the driver says."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.carried = Carried()
        self.ends: dict[int, float] = {}
        self.over: set[int] = set()
        self.timer = math.inf
        destination = Destination("payments", case.policy, lambda: 0.5, BEGINS)
        until = -math.inf if case.unsafe else math.inf
        self.driver = Driver(self, RetryState(destination, BEGINS, until))

    def send(self, number: int, now: float) -> None:
        self.carried.attempts += 1
        at_once = self.case.dead or self.case.status is not None
        self.ends[number] = now + (FAST if at_once else self.case.took)

    def call_off(self, number: int) -> None:
        self.ends.pop(number, None)

    def arm(self, at: float) -> None:
        self.timer = at

    def deliver(self, number: int, refusal: Refusal | None, now: float) -> None:
        if number in self.over and self.case.status is None and not self.case.dead:
            self.carried.seconds = now - BEGINS
        if refusal is not None:
            self.carried.refusals = [refusal.value]

    def refuse(self, refusal: Refusal, now: float) -> None:
        raise AssertionError(refusal, now)

    def run(self) -> Carried:
        leaves = BEGINS + self.case.leaves_after
        self.driver.begin(BEGINS)
        while self.driver.phase is not DriverPhase.OVER:
            number, at = min(self.ends.items(), key=lambda end: end[1], default=(0, math.inf))
            if leaves <= min(at, self.timer):
                self.driver.abandon(leaves)
            elif at > self.timer:
                self.driver.on_timer(self.timer)
            else:
                del self.ends[number]
                self.over.add(number)
                if self.case.dead:
                    self.driver.on_fault(number, at, Fault.CONNECT_FAILURE, sent=False)
                else:
                    self.driver.on_status(number, at, self.case.status or 200, self.case.retry_after)
        return self.carried


@pytest.mark.parametrize("name", CASES)
def test_a_simulated_request_goes_the_way_of_one_that_is_driven(name: str) -> None:
    driven, played = VirtualHost(CASES[name]).run(), simulated(CASES[name])

    assert played.attempts == driven.attempts
    assert played.refusals == driven.refusals
    assert played.seconds == (None if driven.seconds is None else pytest.approx(driven.seconds, abs=0.005))
