"""The first law of the in-flight limit, in virtual time: a healthy dependency never notices it.

Every dependency here has unlimited capacity: its latency does not depend on what is in flight. What it does otherwise,
its callers would get without a sidecar too.
"""

from collections.abc import Callable
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.engine.concurrency import OPEN, ConcurrencyLimit
from sidecar.engine.hold_budget import MAX_SECONDS, SHARE
from sidecar.engine.policy import DestinationPolicy
from tests.engine.fleet import Call, Fleet, Load

Latency = Callable[[float, Random], float]
"""Seconds that a request takes which is sent at an instant."""

DEFAULTS = DestinationPolicy()
IMPATIENT = DestinationPolicy(timeout=10.0)
"""Up to ten seconds a silence is a stall at once: the hardest case for a destination that becomes slower."""
UNLIMITED = 10**9
FEW_MORE = 1.02
"""Attempts per request."""


def spread(mean: float, variation: float, random: Random) -> float:
    """Gamma distributed, with that coefficient of variation; 0: constant."""
    return random.gammavariate(variation**-2, mean * variation**2) if variation else mean


def healthy(
    latency: Latency, load: Load, policy: DestinationPolicy = DEFAULTS, proxies: int = 1, seed: int = 1
) -> Fleet:
    fleet = Fleet(policy, UNLIMITED, lambda _: 0.0, load, None, proxies, seed)
    fleet.dependency.takes(lambda: latency(fleet.agenda.now, fleet.random))
    return fleet


def longest_wait(fleet: Fleet, begins: float = 0.0) -> float:
    """Seconds for which one of them was held back."""
    return max(
        (call.sent_at - call.began for call in fleet.calls if call.sent_at is not None and call.began >= begins),
        default=0.0,
    )


def all_answered(fleet: Fleet) -> bool:
    return all(call.status == 200 for call in fleet.calls)


SITUATIONS: dict[str, tuple[Latency, Load]] = {
    "one in ten takes 3 s": (lambda _, random: 3.0 if random.random() < 0.1 else 0.02, Load(300.0, 12.0)),
    "20 to 400 ms for good": (lambda now, _: 0.02 if now < 6 else 0.4, Load(300.0, 14.0)),
    "20 ms to 1 s for good": (lambda now, _: 0.02 if now < 6 else 1.0, Load(300.0, 14.0)),
    "5 s for ten seconds": (lambda now, _: 5.0 if 6 <= now < 16 else 0.02, Load(300.0, 30.0)),
    "long polls": (lambda _, random: 8.0 if random.random() < 0.025 else 0.02, Load(200.0, 20.0)),
    "5 ms to 1 s at 40 a second": (lambda now, _: 0.005 if now < 6 else 1.0, Load(40.0, 20.0)),
    "1 ms beside 3 s": (lambda _, random: random.choice((0.001, 3.0)), Load(20.0, 30.0)),
    "up and down again": (lambda now, _: 0.02 + 0.2 * max(0.0, min(now - 6, 16 - now)), Load(300.0, 20.0)),
    "2 a second": (lambda now, _: 0.02 if now < 30 else 0.5, Load(2.0, 60.0)),
    "12 s": (lambda _now, _random: 12.0, Load(20.0, 20.0)),
    "30 s": (lambda _now, _random: 30.0, Load(20.0, 20.0)),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_with_the_defaults_nothing_waits_nothing_is_lost_and_next_to_nothing_is_repeated(situation: str) -> None:
    fleet = healthy(*SITUATIONS[situation]).run()

    assert all_answered(fleet)
    assert longest_wait(fleet) == 0.0
    assert fleet.amplification <= FEW_MORE


@pytest.mark.parametrize("callers", [400, 1000])
def test_a_batch_from_idle_does_not_wait(callers: int) -> None:
    fleet = healthy(lambda _now, _random: 0.1, Load(1e-9, 5.0))
    fleet.agenda.at(1.0, lambda: fleet.calls.extend(Call(fleet, fleet.destinations[0]) for _ in range(callers)))

    fleet.run()

    assert all_answered(fleet)
    assert longest_wait(fleet) == 0.0


@pytest.mark.parametrize("seed", range(101, 121))
@pytest.mark.parametrize("rate", [20.0, 100.0, 500.0])
def test_a_shift_of_latency_costs_no_answer_more_than_300_ms(rate: float, seed: int) -> None:
    random = Random(seed)
    variation, shift = random.random(), random.uniform(0.05, 0.5)

    def latency(now: float, dice: Random) -> float:
        return spread(0.02 if now < 5 else shift, variation, dice)

    fleet = healthy(latency, Load(rate, 12.0), DEFAULTS, seed=seed).run()

    assert all_answered(fleet)
    assert longest_wait(fleet) <= 0.3


@pytest.mark.parametrize("timeout", [3.0, 10.0, 12.0])
@pytest.mark.parametrize("rate", [20.0, 100.0, 500.0])
def test_where_a_silence_counts_at_once_a_shift_costs_an_answer_no_more_than_the_shift(
    rate: float, timeout: float
) -> None:
    """The floor is what the first answer at the new latency takes, less the silence before."""
    for seed, shift in product((301, 302), (0.2, 0.3, 0.4, 0.5)):
        fleet = healthy(
            lambda now, _, to=shift: 0.02 if now < 5 else to,  # type: ignore[misc]
            Load(rate, 12.0),
            DestinationPolicy(timeout=timeout, per_attempt_timeout=1.0),
            seed=seed,
        ).run()

        assert all_answered(fleet)
        assert longest_wait(fleet) <= 0.35


@pytest.mark.parametrize("seed", range(201, 221))
def test_where_a_silence_counts_at_once_a_shift_still_loses_nothing(seed: int) -> None:
    random = Random(seed)
    variation, shift, rate = random.random(), random.uniform(0.05, 0.5), random.uniform(20.0, 500.0)

    def latency(now: float, dice: Random) -> float:
        return spread(0.02 if now < 5 else shift, variation, dice)

    fleet = healthy(latency, Load(rate, 16.0), IMPATIENT, seed=seed).run()

    assert all_answered(fleet)
    assert fleet.destinations[0].limiter.state is OPEN
    assert longest_wait(fleet, begins=12.0) == 0.0


ENDINGS = st.sampled_from(["answered", "failed", "orphaned", "released"])
HISTORY = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.05, 0.3, 1.0, 4.0]), st.integers(1, 40), st.sampled_from([0.001, 0.1, 2.0]), ENDINGS
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    HISTORY,
    st.sampled_from([0.01, 0.1, 0.5, 1.0, 3.0]),
    st.sampled_from([2.0, 20.0, 100.0]),
    st.sampled_from([10.0, 60.0]),
)
def test_after_any_history_the_limit_is_open_within_ten_seconds_and_ten_latencies(
    history: list[tuple[float, int, float, str]], latency: float, rate: float, timeout: float
) -> None:
    fleet = healthy(lambda _now, _random: latency, Load(rate, 0.0), DestinationPolicy(timeout=timeout))
    fleet.agenda.now = play(fleet.destinations[0].limiter, history)
    begins, settled = fleet.agenda.now, fleet.agenda.now + 10.0 + 10.0 * latency
    fleet.load = Load(rate, settled + 5.0)

    fleet.run()

    assert fleet.destinations[0].limiter.state is OPEN
    assert not any(call.waited for call in fleet.begun(settled, settled + 5.0))
    assert begins < settled


@pytest.mark.parametrize(("slow", "every"), [(0.4, 4.0), (1.0, 10.0), (5.0, 60.0)])
def test_no_more_callers_wait_for_false_alarms_than_the_hold_budget_has_earned(slow: float, every: float) -> None:
    """Well for a quarter of an hour, and from then on slower again and again for half of the time."""
    calm, until = 900.0, 1020.0

    def latency(now: float, _: Random) -> float:
        return slow if now > calm and now % every > every / 2 else 0.02

    fleet = healthy(latency, Load(30.0, until)).run()

    assert all_answered(fleet)
    held = sum(call.waited for call in fleet.calls)
    assert held <= SHARE * len(fleet.calls) + 2.0 * MAX_SECONDS * 30.0  # and an episode may overdraw it
    assert fleet.held_back(until - 30.0, until) == 0
    assert longest_wait(fleet) <= 2.0 * slow


def play(limit: ConcurrencyLimit, history: list[tuple[float, int, float, str]]) -> float:
    """Whatever may happen to a limit; returns the instant after it. Nothing stays in flight."""
    now = 0.0
    for pause, count, seconds, ending in history:
        now += pause
        for _ in range(count):
            if now >= limit.stalls_at:
                limit.stall(now)
            limit.in_flight += 1
            limit.stalls_at = min(limit.stalls_at, now + limit.silence)
        now += seconds
        for _ in range(count):
            match ending:
                case "answered":
                    limit.answered(seconds, now)
                case "failed":
                    limit.failed(now)
                case "orphaned":
                    limit.orphan(seconds, 2.0, now)
                case _:
                    limit.released()
    return now


@pytest.mark.parametrize("proxies", [4, 20])
def test_in_a_fleet_whose_evidence_is_staggered_no_limit_makes_another(proxies: int) -> None:
    """One pod after the other sees the latency change."""
    fleet = healthy(lambda now, _: 0.02 if now < 5 else 0.4, Load(25.0 * proxies, 20.0), IMPATIENT, proxies).run()

    assert all_answered(fleet)
    assert all(destination.limiter.state is OPEN for destination in fleet.destinations)
    assert longest_wait(fleet, begins=12.0) == 0.0
