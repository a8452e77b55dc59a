from dataclasses import replace

import pytest

from loadtest.harmless.figures import Figures
from loadtest.harmless.situation import Call, Situation
from loadtest.harmless.stage import Run
from loadtest.harmless.verdict import by_pair, harms

SITUATION = Situation("calm", "nothing happens", (Call("all", rate=10.0),), group="rates")
FIGURES = Figures("all", requests=1000, good=1000, throughput=100.0, p50=0.100, p99=0.400, longest=0.5)


def run(subject: str, figures: Figures = FIGURES, attempts: int = 1000) -> Run:
    return Run(SITUATION, subject, 1, (figures,), 1000, attempts, 1, 0.0)


def test_who_is_as_good_as_direct_does_no_harm() -> None:
    assert harms([run("direct"), run("sidecar")]) == []


@pytest.mark.parametrize(
    ("figures", "attempts"),
    [
        (replace(FIGURES, good=999), 1000),
        (replace(FIGURES, throughput=95.0), 1000),
        (replace(FIGURES, p50=0.120), 1000),
        (replace(FIGURES, p99=0.550), 1000),
        (FIGURES, 1020),
        (replace(FIGURES, p50=0.001, p99=0.002), 990),
    ],
)
def test_what_is_within_a_bar_or_better_is_no_harm(figures: Figures, attempts: int) -> None:
    assert harms([run("direct"), run("sidecar", figures, attempts)]) == []


@pytest.mark.parametrize(
    ("bar", "figures", "attempts"),
    [
        ("success", replace(FIGURES, good=998), 1000),
        ("throughput", replace(FIGURES, throughput=94.9), 1000),
        ("p50", replace(FIGURES, p50=0.121), 1000),
        ("p99", replace(FIGURES, p99=0.551), 1000),
        ("attempts", FIGURES, 1021),
    ],
)
def test_a_bar_that_is_missed_is_named(bar: str, figures: Figures, attempts: int) -> None:
    found = harms([run("direct"), run("sidecar"), run("envoy", figures, attempts)])

    assert [(harm.subject, harm.bar) for harm in found] == [("envoy", bar)]
    assert list(by_pair(found)) == [("calm", "envoy")]


def test_who_answers_nobody_misses_the_latencies_too() -> None:
    nobody = replace(FIGURES, good=0, throughput=0.0, p50=None, p99=None, longest=None)

    found = harms([run("direct"), run("sidecar", nobody)])

    assert [harm.bar for harm in found] == ["success", "throughput", "p50", "p99"]


def test_what_fails_directly_too_is_not_the_proxys() -> None:
    leaving = replace(FIGURES, good=800, throughput=80.0)

    assert harms([run("direct", leaving), run("sidecar", leaving)]) == []


def test_attempts_are_compared_with_those_of_direct() -> None:
    found = harms([run("direct", attempts=1010), run("sidecar", attempts=1030)])

    assert found == []


def test_nobody_is_judged_without_direct() -> None:
    assert harms([run("sidecar", replace(FIGURES, good=0))]) == []
