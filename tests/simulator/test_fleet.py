"""The laws of a simulated fleet, and what it was made to show."""

from dataclasses import replace

import pytest
from msgspec import structs

from sidecar.engine.concurrency import OPEN
from sidecar.engine.policy import BudgetPolicy, DestinationPolicy
from sidecar.engine.verdict import Refusal
from sidecar.simulator.fleet import SLOT, Fleet
from sidecar.simulator.outcome import outcome
from sidecar.simulator.scenario import Scenario, Service, Trouble, staffed

POLICY = DestinationPolicy(timeout=3.0, per_attempt_timeout=1.0)
HANG = Trouble("payments", "hang", 8.0, 11.0, speed=0.0)
ERRORS = Trouble("payments", "error", 8.0, 13.0)


def scenario(*troubles: Trouble, utilisation: float = 0.8, seconds: float = 30.0, **entry: object) -> Scenario:
    checkout = Service("checkout", pods=4, rate=50.0, calls={"payments": 1.0}, **entry)  # type: ignore[arg-type]
    payments = staffed(Service("payments", workers=1), 200.0 / utilisation)
    return Scenario("test", 1, seconds, 4.0, {"checkout": checkout, "payments": payments}, troubles)


def fleet(one: Scenario, policy: DestinationPolicy = POLICY, *, governed: bool = True) -> Fleet:
    return Fleet(one, lambda _, __: policy, governed=governed).run()


def test_all_is_well_where_nothing_is_wrong() -> None:
    run = fleet(scenario())
    figures = outcome(run)

    assert figures.before == 1.0
    assert figures.amplification == 1.0
    assert figures.recovery == 0.0
    assert figures.requests == pytest.approx(200 * 30, rel=0.05)
    assert figures.requests == run.services["payments"].answers
    assert figures.p50 == pytest.approx(0.02, rel=0.5)


def test_a_run_is_the_same_again_with_the_same_seed_and_another_with_another() -> None:
    one, again = outcome(fleet(scenario(HANG))), outcome(fleet(scenario(HANG)))
    other = outcome(fleet(replace(scenario(HANG), seed=2)))

    assert one == again
    assert one != other


def test_a_hang_at_high_load_goes_metastable_without_governance_and_not_with_it() -> None:
    governed = outcome(fleet(scenario(HANG)))
    bare = outcome(fleet(scenario(HANG), governed=False))

    assert governed.recovery is not None
    assert governed.recovery < 3.0
    assert governed.amplification <= 1.1 + 0.05
    assert bare.metastable
    assert bare.amplification > 1.5


def test_at_low_load_even_ungoverned_retries_recover() -> None:
    bare = outcome(fleet(scenario(replace(HANG, ends=8.5), utilisation=0.2), governed=False))

    assert bare.recovery is not None


def test_fast_errors_are_repeated_within_the_budget_only() -> None:
    run = fleet(scenario(ERRORS), structs.replace(POLICY, budget=BudgetPolicy(ratio=0.1, min_retries=3)))
    depth = next(one for one in outcome(run).depths if one.service == "payments")

    requests = sum(sum(hop.requests.slots) for hop in run.services["checkout"].hops)
    retries = sum(depth.attempts) * SLOT - requests
    pods_and_windows = 4 * (30 / 10 + 1)
    assert retries <= 0.1 * requests + 3 * pods_and_windows
    assert run.refusals[Refusal.BREAKER_OPEN] > 0


def test_a_retry_after_is_waited_for_in_virtual_time_too() -> None:
    throttled = Trouble("payments", "error", 8.0, 8.5, status=429, retry_after=2.0)

    run = fleet(scenario(throttled), structs.replace(POLICY, timeout=6.0, budget=BudgetPolicy(ratio=1.0, burst=10.0)))

    attempts = run.services["payments"].attempts.slots
    requests = run.services["checkout"].hops[0].requests.slots
    early = [slot for slot in range(len(attempts)) if attempts[slot] > requests[slot] and slot * SLOT < 10.0]
    assert early == []
    assert sum(attempts) > sum(requests)


def test_refused_connections_are_repeated_for_unsafe_requests_too_and_errors_are_not() -> None:
    refused = fleet(scenario(replace(ERRORS, kind="dead", share=0.2), unsafe=1.0))
    failed = fleet(scenario(replace(ERRORS, share=0.2), unsafe=1.0))

    assert refused.services["payments"].attempts.total() > refused.services["checkout"].begun.total()
    assert failed.services["payments"].attempts.total() <= failed.services["checkout"].begun.total()
    assert failed.refusals[Refusal.NOT_IDEMPOTENT] > 0


def test_who_asked_leaves_at_the_deadline_and_the_work_is_done_for_nobody() -> None:
    run = fleet(scenario(HANG, deadline=0.5), governed=False)

    assert run.services["payments"].wasted > 0
    assert max(run.latencies) <= 0.5 + 0.02


def test_retries_of_every_layer_multiply_where_nothing_holds_them() -> None:
    services = {
        "web": Service("web", pods=2, rate=50.0, calls={"orders": 1.0}),
        "orders": Service("orders", pods=2, calls={"ledger": 1.0}),
        "ledger": staffed(Service("ledger", workers=1), 1000.0),
    }
    chain = Scenario("chain", 1, 30.0, 4.0, services, [Trouble("ledger", "error", 8.0, 12.0)])

    bare = {one.service: one for one in outcome(fleet(chain, governed=False)).depths}
    governed = {one.service: one for one in outcome(fleet(chain)).depths}

    assert bare["ledger"].worst_second > 7.0  # three attempts of three
    assert governed["ledger"].worst_second < 1.5
    assert governed["ledger"].attempts_per_request < 1.1


def test_pods_that_restart_lose_what_was_under_way_and_come_back_with_what_waited() -> None:
    run = fleet(scenario(Trouble("checkout", "restart", 8.0, 10.0, backlog=1.0), utilisation=0.5))

    begun, good = run.services["checkout"].begun, run.services["checkout"].good
    down, back = slice(round(8.0 / SLOT), round(10.0 / SLOT)), round(10.0 / SLOT)
    assert sum(begun.slots[down]) == 0
    assert begun.slots[back] > 300
    assert begun.total() - good.total() < 20


def test_a_full_queue_answers_503() -> None:
    one = scenario(HANG)
    short = {**one.services, "payments": replace(one.services["payments"], queue=10)}

    run = fleet(replace(one, services=short))

    assert run.services["payments"].longest_queue == 10


def test_a_service_that_has_lost_its_cache_is_slow_until_it_is_full_again() -> None:
    one = scenario(Trouble("payments", "forget", 10.0, 10.0), utilisation=0.7)
    cached = replace(one.services["payments"], keys=600, miss=5.0)

    figures = outcome(fleet(replace(one, services={**one.services, "payments": cached})))
    warm = outcome(fleet(replace(one, services={**one.services, "payments": cached}, troubles=[])))

    assert warm.p99 < 0.2
    assert figures.p99 > 4 * warm.p99
    assert figures.recovery is not None


@pytest.mark.parametrize("timeout", [3.0, 10.0])
def test_many_pods_with_few_requests_each_recover_nearly_as_fast_as_few_big_ones(timeout: float) -> None:
    checkout = Service("checkout", pods=150, rate=3.0, deadline=3.0, calls={"payments": 1.0})
    payments = staffed(Service("payments", workers=1), 450.0 / 0.8)
    hang = Trouble("payments", "hang", 15.0, 20.0, speed=0.0)

    run = fleet(
        Scenario("sparse", 1, 34.0, 5.0, {"checkout": checkout, "payments": payments}, [hang]),
        structs.replace(POLICY, timeout=timeout),
    )

    figures = outcome(run)
    assert figures.recovery is not None
    assert figures.recovery <= 2.5
    assert figures.after is not None
    assert figures.after >= 0.97


def test_the_queue_behind_a_hang_is_released_at_a_pace() -> None:
    run = fleet(scenario(HANG))

    attempts = run.services["payments"].attempts.slots
    worst = max(sum(attempts[slot : slot + 4]) for slot in range(int(11.0 / SLOT), len(attempts) - 4))
    assert worst <= 1.35 * 200  # of what is asked for, chance included


@pytest.mark.parametrize("pods", [4, 20, 800])
def test_in_a_fleet_whose_evidence_is_staggered_no_limit_makes_another(pods: int) -> None:
    """Healthy and slower from one moment on: each pod notices when its own request takes long, up to a second later."""
    checkout = Service("checkout", pods=pods, rate=1600.0 / pods, calls={"payments": 1.0})
    payments = Service("payments", workers=10**6, service_time=0.02, spread="fixed")
    slower = Trouble("payments", "slow", 5.0, 60.0, service_time=0.4, becomes=0.4)
    one = replace(scenario(), seconds=30.0, services={"checkout": checkout, "payments": payments}, troubles=[slower])

    run = fleet(one, structs.replace(POLICY, timeout=10.0))

    figures = outcome(run)
    assert sum(figures.good) == sum(figures.offered)
    assert figures.amplification == 1.0
    limiters = [pod.destinations[0].limiter for pod in run.services["checkout"].pods]
    assert not any(limiter.waiting or limiter.in_flight for limiter in limiters)
    assert sum(limiter.state is not OPEN for limiter in limiters) <= 0.05 * pods
    assert figures.p99 is not None
    assert figures.p99 <= 1.25 * 0.4 + 0.3
