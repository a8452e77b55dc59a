"""The two laws of the in-flight limit, in virtual time: it does no harm, and an outage ends with its cause."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.engine.breaker import BreakerState
from sidecar.engine.concurrency import OPEN
from sidecar.engine.orphans import RECLAIM_SHARE
from sidecar.engine.policy import DestinationPolicy
from tests.engine.fleet import Fleet, Load, Trouble

Service = Callable[[Random], float]

POLICY = DestinationPolicy(timeout=3.0, per_attempt_timeout=1.0)
WORKERS = 40
SECONDS = 0.05  # of one request: the capacity is 800 a second
CAPACITY = WORKERS / SECONDS


def around(seconds: float) -> Service:
    return lambda random: seconds * (0.5 + random.random())


def exponential(seconds: float) -> Service:
    return lambda random: random.expovariate(1 / seconds)


def two_kinds(share: float) -> Service:
    """`share` of the requests take half a second, the others five milliseconds."""
    return lambda random: 0.5 if random.random() < share else 0.005


def fleet(trouble: Trouble, utilisation: float, seed: int, until: float = 16.0) -> Fleet:
    return Fleet(POLICY, WORKERS, around(SECONDS), Load(utilisation * CAPACITY, until), trouble, 4, seed).run()


@pytest.mark.parametrize("service", [around, exponential])
@pytest.mark.parametrize(
    ("in_flight", "seconds"), [(2, 0.0005), (10, 0.005), (50, 0.05), (100, 0.1), (200, 0.2)], ids=str
)
def test_a_steady_load_is_never_held_back_after_its_first_second(
    in_flight: int, seconds: float, service: Callable[[float], Service]
) -> None:
    until = min(6.0, 8000 * seconds / in_flight)
    steady = Fleet(POLICY, int(in_flight / 0.7), service(seconds), Load(in_flight / seconds, until)).run()

    assert steady.held_back(1.0, until) == 0
    assert steady.success(0.0, until) == 1.0


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.97])
def test_dear_requests_among_cheap_ones_hold_nobody_back(share: float) -> None:
    rate = min(2000.0, 40 / (share * 0.5 + (1 - share) * 0.005))
    mixed = Fleet(POLICY, 100, two_kinds(share), Load(rate, 12.0)).run()

    assert mixed.held_back(1.0, 12.0) == 0
    assert mixed.success(0.0, 12.0) == 1.0


def test_a_few_failures_hold_nobody_back() -> None:
    steady = Fleet(POLICY, 150, around(0.1), Load(1000.0, 6.0), failing=0.01).run()

    assert all(not call.waited for call in steady.begun(1.0, 6.0))
    assert steady.success(0.0, 6.0) > 0.9995


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize(("seconds", "utilisation"), [(1.5, 0.7), (2.0, 0.8)])
def test_a_short_hang_loses_nothing(seconds: float, utilisation: float, seed: int) -> None:
    hang = fleet(Trouble(6.0, 6.0 + seconds, speed=0.0), utilisation, seed)

    assert hang.success(0.0, 16.0) == 1.0
    assert hang.amplification < 1.1


def test_a_long_hang_is_over_when_its_cause_is_gone() -> None:
    hang = fleet(Trouble(6.0, 11.0, speed=0.0), 0.8, seed=1)

    assert hang.success(6.0, 11.0) > 0.3  # whose time is not over when it is: 60 %, if none were lost to chance
    assert hang.success(11.0, 16.0) > 0.99
    assert hang.amplification < 1.1


def test_what_a_dependency_can_still_do_in_a_brownout_is_used() -> None:
    brownout = fleet(Trouble(6.0, 11.0, speed=0.4), 0.8, seed=1)

    assert brownout.success(6.0, 11.0) > 0.5  # of which a perfect judge of queues would save the half
    assert brownout.success(11.0, 16.0) > 0.99
    assert brownout.median_seconds(7.0, 11.0) < 1.0  # the newest first: those answered are not kept waiting


def test_fast_failures_cost_no_more_than_the_breakers_time() -> None:
    failing = fleet(Trouble(6.0, 11.0, status=503), 0.8, seed=1)

    longest = 1.2 * POLICY.breaker.max_open + POLICY.breaker.ramp
    assert failing.success(11.0 + longest, 16.0) == 1.0
    assert failing.amplification < 1.1


def test_a_destination_that_becomes_five_times_slower_for_good_is_soon_usual_again() -> None:
    slower = Fleet(POLICY, 400, around(SECONDS), Load(1200.0, 18.0), Trouble(5.0, 30.0, speed=0.2), 4).run()

    assert slower.success(5.0, 13.0) > 0.8
    assert slower.success(13.0, 18.0) == 1.0


def some(share: float, patience: float) -> Callable[[Random], float]:
    """`share` of the callers leave after so many seconds, the others stay."""
    return lambda random: patience if random.random() < share else 60.0


PATIENT_POLICY = DestinationPolicy(timeout=10.0, per_attempt_timeout=2.0)


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_hang_is_over_with_its_cause_though_callers_leave_before_the_policy_would(seed: int) -> None:
    load = Load(0.8 * CAPACITY, 16.0)
    trouble = Trouble(6.0, 11.0, speed=0.0)
    hang = Fleet(PATIENT_POLICY, WORKERS, around(SECONDS), load, trouble, 4, seed, patience=some(1.0, 3.0)).run()

    assert hang.success(6.0, 11.0) > 0.3
    assert hang.success(11.0, 16.0) > 0.97


@pytest.mark.parametrize("patience", [0.02, 0.05, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("share", [0.2, 0.6])
def test_callers_who_leave_on_purpose_hold_nobody_back(share: float, patience: float) -> None:
    """A browser that breaks off, a client that hedges: the work takes from 1 to 400 ms."""
    load = Load(700.0, 8.0)
    busy = Fleet(PATIENT_POLICY, 100, exponential(0.08), load, None, 2, patience=some(share, patience)).run()

    assert busy.held_back(1.0, 8.0) == 0


def test_callers_who_all_leave_too_early_do_not_stop_a_destination_from_coming_back() -> None:
    """It takes 10 ms, then 125 for a while: every caller leaves after 60, and nobody is answered."""
    load = Load(400.0, 12.0)
    trouble = Trouble(6.0, 9.0, speed=0.08)
    slow = Fleet(PATIENT_POLICY, 40, around(0.01), load, trouble, 2, patience=some(1.0, 0.06)).run()

    assert slow.success(6.2, 9.0) < 0.05
    assert slow.success(9.2, 12.0) == 1.0
    assert slow.sent > 0.4 * len(slow.calls)


FIRST_HANG = 900.0
"""Seconds without any trouble before it: a pod that runs for a quarter of an hour."""


def first_trouble(speed: float, seconds: float, seed: int) -> Fleet:
    """Callers leave after 3 s, the policy's timeout is the default of a minute, and no caller has ever left."""
    trouble = Trouble(FIRST_HANG, FIRST_HANG + seconds, speed=speed)
    load = Load(40.0, FIRST_HANG + seconds + 8.0)
    return Fleet(DestinationPolicy(), 5, around(0.1), load, trouble, seed=seed, patience=some(1.0, 3.0)).run()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_pod_that_has_been_well_for_a_quarter_of_an_hour_saves_callers_from_its_first_hang(seed: int) -> None:
    hang = first_trouble(0.0, 5.0, seed)

    assert hang.success(FIRST_HANG, FIRST_HANG + 5.0) > 0.25
    assert hang.success(FIRST_HANG + 5.0, FIRST_HANG + 13.0) > 0.97


def test_and_from_its_first_brownout() -> None:
    brownout = first_trouble(0.4, 10.0, seed=1)

    assert brownout.success(FIRST_HANG, FIRST_HANG + 10.0) > 0.45
    assert brownout.success(FIRST_HANG + 10.0, FIRST_HANG + 18.0) > 0.97


LOST = 10_000.0
"""Seconds: an attempt that is never answered, whose request would be answered at another attempt."""


def lossy(share: float, rate: float, seed: int, until: float) -> Fleet:
    def takes(random: Random) -> float:
        return LOST if random.random() < share else 0.02

    return Fleet(DestinationPolicy(timeout=10.0), 10**9, takes, Load(rate, until), seed=seed).run()


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize(("share", "rate", "until"), [(0.005, 100.0, 40.0), (0.02, 20.0, 90.0), (0.02, 200.0, 20.0)])
def test_attempts_that_are_really_lost_are_tried_again(share: float, rate: float, until: float, seed: int) -> None:
    fleet = lossy(share, rate, seed, until)

    lost = [call for call in fleet.calls if call.exchange.attempts > 1 or call.status != 200]
    saved = sum(call.status == 200 for call in lost)
    assert saved >= 0.9 * len(lost)  # the others met one another in one tenth of the budget's window


@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_a_quiet_destination_has_its_lost_attempts_tried_again(rate: float) -> None:
    fleet = lossy(0.05, rate, 1, 600.0 / rate)

    assert fleet.success(0.0, 600.0 / rate) >= 0.99


@pytest.mark.parametrize("seed", range(1, 4))
def test_slow_requests_whose_callers_leave_are_next_to_never_tried_again(seed: int) -> None:
    """Answers take 1 s, one in five 5 s; a retry after 2 s is too late for callers who wait for 2.5."""

    def takes(random: Random) -> float:
        return 5.0 if random.random() < 0.2 else 1.0

    fleet = Fleet(DestinationPolicy(), 10**9, takes, Load(60.0, 30.0), seed=seed, patience=some(1.0, 2.5)).run()

    assert fleet.amplification <= 1.02


SMALL_CAPACITY = 40.0
"""Answers per second of a dependency with 4 workers and 100 ms of work."""


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    speed=st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]),
    seconds=st.sampled_from([5.0, 12.0]),
    load=st.sampled_from([0.8, 1.5, 3.0]),
    timeout=st.sampled_from([3.0, 10.0]),
    seed=st.integers(1, 10**6),
)
def test_two_seconds_after_the_evidence_a_dependency_is_sent_what_it_answers_and_the_limit_and_no_more(
    speed: float, seconds: float, load: float, timeout: float, seed: int
) -> None:
    """In any second of a limit in force, and of callers who wait as long as the policy.

    RECLAIM_SHARE: of what those have left behind whose time was over, it may have done a part.
    """
    begins, ends = 6.0, 6.0 + seconds
    policy = DestinationPolicy(timeout=timeout, per_attempt_timeout=1.0)
    calm = Load(0.5 * SMALL_CAPACITY, ends + 1.0)
    fleet = Fleet(policy, 4, around(0.1), calm, Trouble(begins, ends, speed), seed=seed)
    limiter = fleet.destinations[0].limiter
    seen: list[tuple[float, int, float, bool]] = []

    def look() -> None:
        now = fleet.agenda.now
        fleet.load.rate = SMALL_CAPACITY * (load if now < ends else 0.5)
        seen.append((now, fleet.sent, limiter.limit, limiter.state is OPEN))
        if now < ends:
            fleet.agenda.at(now + 0.1, look)

    fleet.agenda.at(begins, look)
    fleet.run()

    evidence = next((now for now, _, _, is_open in seen if not is_open), ends)
    for at in range(len(seen) - 10):
        second = seen[at : at + 11]
        if second[0][0] >= evidence + 2.0 and not any(is_open for _, _, _, is_open in second):
            most = max(limit for _, _, limit, _ in second)
            assert second[-1][1] - second[0][1] <= SMALL_CAPACITY * (speed + RECLAIM_SHARE) + most + 3


def reopened(timeout: float, seed: int) -> bool:
    """Whether the limit is lifted amid 8 s of twice what the dependency can do, 3 s after they began."""
    begins, ends = 6.0, 14.0
    policy = DestinationPolicy(timeout=timeout, per_attempt_timeout=1.0)
    calm = Load(0.5 * SMALL_CAPACITY, ends)
    fleet = Fleet(policy, 4, around(0.1), calm, Trouble(begins, ends), seed=seed)
    limiter = fleet.destinations[0].limiter
    states: list[bool] = []

    def look() -> None:
        now = fleet.agenda.now
        fleet.load.rate = 2.0 * SMALL_CAPACITY
        states.append(limiter.state is not OPEN)
        if now < ends - 0.1:
            fleet.agenda.at(now + 0.05, look)

    fleet.agenda.at(begins, look)
    fleet.run()
    held = states.index(True)
    return not all(states[max(held, 60) :])


@pytest.mark.parametrize("timeout", [3.0, 10.0])
def test_a_limit_stays_in_force_while_twice_the_capacity_comes_in(timeout: float) -> None:
    """A trial compares eight answers with eight, so now and then chance says that less in flight is no quicker."""
    assert sum(reopened(timeout, seed) for seed in range(60)) <= 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from([0.0, 0.1, 0.5, 0.9, 503]),
    seconds=st.sampled_from([0.3, 1.0, 3.0, 8.0]),
    utilisation=st.sampled_from([0.1, 0.5, 0.8]),
    timeout=st.sampled_from([1.0, 3.0, 10.0, 60.0]),
    patience=st.sampled_from([0.5, 3.0, 60.0]),
    proxies=st.sampled_from([1, 4]),
    failing=st.sampled_from([0.0, 0.02]),
    seed=st.integers(1, 10**6),
)
def test_no_state_is_left_for_ever(
    kind: float,
    seconds: float,
    utilisation: float,
    timeout: float,
    patience: float,
    proxies: int,
    failing: float,
    seed: int,
) -> None:
    """Whatever has happened: once its work is done the dependency is well, and soon nothing tells of the trouble."""
    ends = 6.0 + seconds
    trouble = Trouble(6.0, ends, status=503) if kind == 503 else Trouble(6.0, ends, kind)
    policy = DestinationPolicy(timeout=timeout, per_attempt_timeout=min(timeout / 3, 2.0))
    settled = ends + 10.0 * seconds + 20.0
    load = Load(utilisation * SMALL_CAPACITY, settled + 5.0)
    fleet = Fleet(policy, 4, around(0.1), load, trouble, proxies, seed, failing, some(1.0, patience)).run()

    assert fleet.held_back(settled, settled + 5.0) <= (3 if failing else 0)
    for destination in fleet.destinations:
        limiter = destination.limiter
        limiter.reclaim(fleet.agenda.now + 1000.0)
        assert limiter.state is OPEN or failing
        assert destination.breaker.state(fleet.agenda.now) is BreakerState.CLOSED or failing
        assert not limiter.waiting
        assert limiter.in_flight == 0
