"""The simulated sidecar passes the table of cases that every host of the engine passes."""

import math
from pathlib import Path

import pytest

from sidecar.engine.outcome import Fault, Result
from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.verdict import Refusal
from sidecar.simulator.agenda import TICK
from sidecar.simulator.fleet import Call, Fleet, SimulatedEndpoint, SimulatedService
from sidecar.simulator.scenario import Scenario, Service
from sidecar.vectors.case import VectorCall, VectorCase
from sidecar.vectors.judge import SeenAttempt, SeenCall, shortcomings
from sidecar.wire.retry_after import parse_retry_after
from tests.vectors.hosts import CASES, retries_for

PAUSE = 0.001
"""Seconds between the end of a call and the next."""


class ScriptedFleet(Fleet):
    """One pod that makes the calls of a case, one after the other, to a service that answers by its script."""

    def __init__(self, case: VectorCase, policy: DestinationPolicy) -> None:
        services = {"caller": Service("caller", calls={"callee": 1.0}), "callee": Service("callee")}
        seconds = 1.0 + sum(policy.timeout + PAUSE for _ in case.calls)
        super().__init__(Scenario(case.name, 1, seconds, 0.0, services, ()), lambda _, __: policy)
        self.seen: list[SeenCall] = []
        self._left = list(case.calls)
        self._policy = policy
        self._began = 0.0
        self._agenda.at(0.0, self._next)

    def _next(self, _what: object, _number: int) -> None:
        simulated = self.services["caller"]
        simulated.hops[0].unsafe = 0.0 if self._repeatable(self._left[0]) else 1.0
        self._began = self._agenda.now
        self.seen.append(SeenCall())
        self._begin(simulated, simulated.pods[0])

    def _repeatable(self, call: VectorCall) -> bool:
        return call.method in self._policy.retry.methods or (call.keyed and self._policy.honours_keys)

    def _receive(self, simulated: SimulatedService, endpoint: SimulatedEndpoint, call: Call, ticket: int) -> None:
        now = self._agenda.now
        seen = self.seen[-1].attempts
        seen.append(SeenAttempt(now, math.inf, None, None))
        answers = self._left[0].answers
        answer = answers[min(len(seen), len(answers)) - 1]
        if answer.fault != "hang":
            self._agenda.at(now + answer.delay, self._play, (call, answer, seen[-1]), ticket)

    def _play(self, what: tuple[Call, object, SeenAttempt], ticket: int) -> None:
        call, answer, attempt = what
        attempt.ended = now = self._agenda.now
        if answer.status is not None:
            wish = answer.retry_after
            wait = None if wish is None else parse_retry_after(wish.encode(), b"", 0.0)
            self._answered(call, ticket, answer.status, wait)
        elif not call.ended and ticket == call.ticket:
            self._heed(call, call.on_fault(now, Fault.RESET, sent=True), 502)

    def _end(self, call: Call, status: int, result: Result, refusal: Refusal | None) -> None:
        seen = self.seen[-1]
        now = self._agenda.now
        seen.refusal = None if refusal is None else refusal.value
        seen.seconds = now - self._began
        if result is Result.REFUSED:
            seen.outcome = "refused"
        elif status == 504:
            seen.outcome = "timeout"
        elif status == 502:
            seen.outcome = "fault"
        else:
            seen.outcome, seen.status = "answer", status
        self._left.pop(0)
        super()._end(call, status, result, refusal)
        if self._left:
            self._agenda.at(now + PAUSE, self._next)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_simulator_passes_every_case(case: VectorCase, tmp_path: Path) -> None:
    played = ScriptedFleet(case, retries_for(tmp_path)[case.name].policy).run()

    assert len(played.seen) == len(case.calls)
    assert shortcomings(case, played.seen, tolerance=2 * TICK) == []
