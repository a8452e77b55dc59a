"""What counts as not being the best, and what is only chance."""

from dataclasses import replace

import pytest

from loadtest.storm.figures import Figures, figures
from loadtest.storm.stage import Run
from loadtest.storm.verdict import shortfalls
from tests.loadtest.storm.witnesses import HANG, attempt, steady

GOOD = figures(HANG, steady(HANG), [attempt(number, number * 0.05) for number in range(160)])


def runs(own: Figures, other: Figures) -> list[Run]:
    return [Run(HANG, "none", 1, other, 0.0), Run(HANG, "sidecar", 1, own, 0.0)]


def test_equals_are_at_least_as_good() -> None:
    assert shortfalls(runs(GOOD, GOOD)) == []


@pytest.mark.parametrize(
    ("worse", "title"),
    [
        ({"during": 0.9}, "success during"),
        ({"after": 0.99}, "success after"),
        ({"wasted": 0.02}, "wasted work"),
        ({"recovery": 0.5}, "time to recover"),
        ({"recovery": None}, "time to recover"),
        ({"duplicates": 1}, "duplicate POSTs"),
        ({"violations": 1}, "Retry-After violations"),
    ],
)
def test_a_figure_in_which_another_is_better_is_named(worse: dict[str, object], title: str) -> None:
    found = shortfalls(runs(replace(GOOD, **worse), GOOD))

    assert [(shortfall.title, shortfall.best) for shortfall in found] == [(title, "none")]
    assert shortfalls(runs(GOOD, replace(GOOD, **worse))) == []


def test_amplification_has_to_keep_the_budgets_bound_whatever_others_do() -> None:
    over = replace(GOOD, amplification=3.0)

    found = shortfalls(runs(over, replace(GOOD, amplification=4.0)))

    assert [(shortfall.title, shortfall.best) for shortfall in found] == [("amplification", "bound")]


def test_nobody_is_judged_without_the_sidecar() -> None:
    assert shortfalls(runs(GOOD, GOOD)[:1]) == []
