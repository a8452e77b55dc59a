"""Medians and ratios, with rounds kept beside each other."""

from loadtest.figures import Results
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
