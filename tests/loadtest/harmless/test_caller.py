"""The callers against the dependency itself, in one loop: whatever a situation says, direct callers are answered."""

from dataclasses import replace
from time import monotonic

import pytest

from loadtest.harmless.caller import Callers, at_random, at_those_there
from loadtest.harmless.dependency import Dependency
from loadtest.harmless.situation import Call, Deploy, Phase, Situation
from loadtest.harmless.traffic import Traffic

QUICK = Call("quick", rate=100.0, phases=(Phase(takes=0.005),))
SHORT = Situation("short", "", (QUICK,), seconds=0.3)


async def played(situation: Situation) -> tuple[Traffic, Dependency]:
    dependency = Dependency(situation)
    ports = await dependency.listen()
    callers = Callers(situation, at_those_there(ports, situation))
    traffic = Traffic(situation, callers, seed=1)
    zero = monotonic() + 0.02
    dependency.begin(zero)
    await traffic.run(zero)
    callers.close()
    for endpoint in dependency.endpoints:
        endpoint.leave()
    return traffic, dependency


@pytest.mark.parametrize(
    "situation",
    [
        SHORT,
        replace(SHORT, calls=(replace(QUICK, rate=0.0, callers=5),)),
        replace(SHORT, calls=(replace(QUICK, rate=0.0, burst=50),)),
        replace(SHORT, calls=(replace(QUICK, events=3, every=0.02),)),
        replace(SHORT, calls=(replace(QUICK, method="PUT", upload=2000, drip=0.1),)),
        replace(SHORT, calls=(replace(QUICK, bytes=200_000, read=1_000_000.0),)),
        replace(SHORT, calls=(replace(QUICK, fresh=True),), per_connection=1),
        replace(SHORT, keep_alive=0.01),
        replace(SHORT, calls=(replace(QUICK, status=404),)),
        replace(SHORT, workers=1),
        replace(SHORT, endpoints=2, pause=0.1, pause_every=0.2),
        replace(SHORT, endpoints=3, deploy=Deploy(at=0.06, every=0.1, gone=0.05)),
    ],
    ids=[
        "open",
        "closed",
        "burst",
        "events",
        "drip",
        "slow readers",
        "churn",
        "keep-alive",
        "404",
        "one worker",
        "pauses",
        "deploy",
    ],
)
async def test_direct_callers_are_answered_well_and_once(situation: Situation) -> None:
    traffic, dependency = await played(situation)

    assert len(traffic.requests) >= 5
    assert all(request.good for request in traffic.requests)
    assert sorted(dependency.arrived) == sorted(request.number for request in traffic.requests)
    assert min(request.took for request in traffic.requests) >= 0.004


async def test_callers_who_have_no_patience_leave() -> None:
    traffic, _ = await played(replace(SHORT, calls=(replace(QUICK, phases=(Phase(takes=5.0),), patience=0.05),)))

    assert not any(request.good for request in traffic.requests)


def test_a_proxy_is_taken_by_the_requests_dice() -> None:
    choose = at_random([1, 2, 3])
    requests = [Traffic(SHORT, Callers(SHORT, choose), 1).requests[0] for _ in range(2)]

    assert choose(replace(requests[0], door=0.99), 0.0) == 3
    assert choose(requests[0], 0.0) == choose(requests[1], 5.0)


async def test_a_worker_works_on_one_request_at_a_time() -> None:
    batch = replace(SHORT, calls=(replace(QUICK, rate=0.0, burst=10, phases=(Phase(takes=0.02),)),), workers=2)

    traffic, _ = await played(batch)

    took = sorted(request.took for request in traffic.requests)
    assert took[0] >= 0.018
    assert took[-1] >= 5 * 0.02 - 0.002
