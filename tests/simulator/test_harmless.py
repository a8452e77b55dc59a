"""No harm is judged figure by figure beside the same callers without a sidecar."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.engine.policy import ConcurrencyPolicy, DestinationPolicy, LimitKind
from sidecar.simulator.fleet import Fleet
from sidecar.simulator.harmless import Served, missed_bars, served
from sidecar.simulator.outcome import outcome
from sidecar.simulator.scenario import Scenario, load
from sidecar.simulator.ungoverned import direct

SEEDS = (1, 2, 3, 4, 5)
SHIPPED = sorted((Path(__file__).parents[2] / "config" / "scenarios" / "harmless").glob("*.yaml"))
DIRECT = Served(success=1.0, throughput=100.0, p50=0.100, p99=0.400, amplification=1.0)


def play(scenario: Scenario, policy: DestinationPolicy, *, governed: bool = True) -> Served:
    return served(outcome(Fleet(scenario, lambda _caller, _callee: policy, governed=governed).run()))


def by_name(name: str) -> Scenario:
    return load(next(file for file in SHIPPED if file.stem == name))


def worse(figure: str, *values: float | None) -> Iterator[Served]:
    return (replace(DIRECT, **{figure: value}) for value in values)


@pytest.mark.parametrize(
    "own",
    [
        DIRECT,
        *worse("success", 0.999),
        *worse("throughput", 95.0),
        *worse("p50", 0.120, 0.001),
        *worse("p99", 0.550),
        *worse("amplification", 1.02),
    ],
)
def test_what_is_within_the_bars_or_better_is_no_harm(own: Served) -> None:
    assert missed_bars(own, DIRECT) == []


@pytest.mark.parametrize(
    ("figure", "value", "said"),
    [
        ("success", 0.998, "success 99.80%, directly 100.00% (at least 99.90%)"),
        ("throughput", 94.0, "throughput 94, directly 100 (at least 95)"),
        ("p50", 0.121, "p50 121 ms, directly 100 ms (at most 120 ms)"),
        ("p99", 0.551, "p99 551 ms, directly 400 ms (at most 550 ms)"),
        ("p99", None, "p99 nothing, directly 400 ms (at most 550 ms)"),
        ("amplification", 1.03, "amplification 1.03, directly 1 (at most 1.02)"),
    ],
)
def test_a_bar_that_is_missed_is_told_with_both_figures(figure: str, value: float | None, said: str) -> None:
    (own,) = worse(figure, value)

    assert [str(bar) for bar in missed_bars(own, DIRECT)] == [said]


def test_what_fails_without_a_sidecar_too_is_not_its_fault() -> None:
    failing = replace(DIRECT, success=0.8, throughput=80.0)

    assert missed_bars(failing, failing) == []


def test_there_are_shipped_scenarios() -> None:
    assert len(SHIPPED) >= 15


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_scenario_expects_no_harm_and_everybody_is_answered_directly(file: Path) -> None:
    scenario = load(file)

    alone = play(scenario, direct(DestinationPolicy()), governed=False)

    assert scenario.expects_no_harm
    assert alone.success == alone.amplification == 1.0
    assert alone.throughput > 0


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_policy_that_is_compiled_in_does_no_harm(file: Path) -> None:
    policy = DestinationPolicy()

    missed = {}
    for scenario in (load(file).reseeded(seed) for seed in SEEDS):
        missed[scenario.seed] = missed_bars(play(scenario, policy), play(scenario, direct(policy), governed=False))

    assert missed == {seed: [] for seed in SEEDS}


def test_a_limit_on_what_is_in_flight_harms_what_is_slow() -> None:
    shift = by_name("shift")
    policy = DestinationPolicy(timeout=10.0, concurrency=ConcurrencyPolicy(LimitKind.FIXED, initial=20))

    missed = missed_bars(play(shift, policy), play(shift, direct(policy), governed=False))

    assert {"success", "throughput", "p99"} <= {bar.figure for bar in missed}


def test_callers_of_a_closed_loop_ask_as_often_as_they_are_answered() -> None:
    alone = play(by_name("closed-loop"), direct(DestinationPolicy()), governed=False)

    # 500 callers, 12 s, 2 s an answer: the sixth begins 10 s and a little after the first.
    assert alone.throughput == pytest.approx(500 * 6 / 12)
    assert alone.p99 == pytest.approx(2.0)


def test_a_burst_comes_at_once() -> None:
    scenario = by_name("burst")

    result = outcome(Fleet(scenario, lambda _caller, _callee: direct(DestinationPolicy()), governed=False).run())

    assert max(result.offered) * 0.25 == pytest.approx(1000, abs=3)


def test_a_request_that_is_slow_is_slow_at_every_attempt() -> None:
    slow = by_name("one-in-ten-slow")
    retrying = DestinationPolicy(per_attempt_timeout=0.1, timeout=1.0)

    tried = play(slow, retrying, governed=False)

    assert tried.success == pytest.approx(0.9, abs=0.02)
    assert tried.amplification == pytest.approx(1.2, abs=0.05)


def test_with_and_without_a_sidecar_the_same_requests_come_and_take_the_same_work() -> None:
    noisy = by_name("noisy-shift")
    generous = DestinationPolicy(per_attempt_timeout=10.0, concurrency=ConcurrencyPolicy(LimitKind.FIXED, initial=500))

    assert missed_bars(play(noisy, generous), play(noisy, direct(generous), governed=False)) == []
    assert play(noisy, generous).p50 == play(noisy, direct(generous), governed=False).p50
