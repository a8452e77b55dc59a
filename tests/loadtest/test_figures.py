"""Medians and ratios, with rounds kept beside each other."""

from collections import Counter

from loadtest.figures import QUIET, Results, Round
from tests.loadtest.results import a_round, good, two_rounds


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert good().median("sidecar", "get.cpu_us") == 45.0


def test_a_ratio_is_taken_within_each_round() -> None:
    results = two_rounds(sidecar=(a_round(30.0), a_round(90.0)), envoy=(a_round(60.0), a_round(300.0)))

    ratio = results.ratio("sidecar", "get.cpu_us")

    assert ratio == (30 / 60 + 90 / 300) / 2


def test_what_was_not_measured_is_none() -> None:
    results = Results("envoy", {"sidecar": [a_round(30.0)]})

    assert results.median("sidecar", "1m.cpu_us") is None
    assert results.ratio("sidecar", "get.cpu_us") is None
    assert results.median("nginx", "get.cpu_us") is None


def test_what_is_not_a_number_is_left_out() -> None:
    results = two_rounds(sidecar=(a_round(float("nan")), a_round(60.0)), envoy=(a_round(75.0), a_round(150.0)))

    assert results.median("sidecar", "get.cpu_us") == 60.0
    assert results.ratio("sidecar", "get.cpu_us") == 60 / 150


def test_errors_of_all_rounds_are_summed_by_reason() -> None:
    results = two_rounds(
        sidecar=(a_round(30.0, reset=1), a_round(60.0, reset=2, late=3)), envoy=(a_round(75.0), a_round(150.0))
    )

    assert results.errors("sidecar", "get") == {"reset": 3, "late": 3}
    assert results.errors("envoy", "get") == {}


def test_rounds_that_were_disturbed_are_left_out_if_there_are_others() -> None:
    sidecar, envoy = (a_round(30.0), a_round(90.0)), (a_round(75.0), a_round(100.0))
    envoy[1].figures["get.stretch"] = QUIET + 0.01

    results = two_rounds(sidecar=sidecar, envoy=envoy)

    assert results.ratios("sidecar", "get.cpu_us") == [30 / 75]
    assert results.values("envoy", "get.cpu_us") == [75.0]
    assert results.values("sidecar", "get.cpu_us") == [30.0, 90.0]


def test_where_all_rounds_were_disturbed_they_all_count() -> None:
    sidecar, envoy = (a_round(30.0), a_round(90.0)), (a_round(75.0), a_round(100.0))
    for done in envoy:
        done.figures["get.stretch"] = 1.5

    results = two_rounds(sidecar=sidecar, envoy=envoy)

    assert results.ratios("sidecar", "get.cpu_us") == [30 / 75, 90 / 100]
    assert results.stretches() == [1.5, 1.5]


def test_a_round_takes_over_what_another_measured() -> None:
    done = a_round(30.0, reset=1)

    done.add(Round({"process.idle_rss_mb": 2.0}, {"get": Counter(reset=2), "process": Counter(late=1)}))

    assert done.figures["process.idle_rss_mb"] == 2.0
    assert done.figures["get.cpu_us"] == 30.0
    assert done.errors == {"get": {"reset": 3}, "process": {"late": 1}}
