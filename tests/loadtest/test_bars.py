"""A bar is met by a measurement that is good enough and right, and by nothing else."""

from loadtest.bars import Mark, judge
from loadtest.figures import Results
from tests.loadtest.results import a_round, good, two_rounds


def marks(results: Results) -> dict[str, Mark]:
    return {ruling.bar.figure: ruling.mark for ruling in judge(results)}


def test_good_figures_meet_their_bars_and_absent_ones_are_not_measured() -> None:
    assert marks(good()) == {
        "get.cpu_us": Mark.MET,
        "post.cpu_us": Mark.NOT_MEASURED,
        "1m.cpu_us": Mark.NOT_MEASURED,
        "1m-up.cpu_us": Mark.NOT_MEASURED,
        "half.p99_ms": Mark.MET,
        "process.rest_rss_mb": Mark.MET,
        "process.idle_per_1000_mb": Mark.MET,
        "process.start_s": Mark.MET,
    }


def test_a_bar_is_met_exactly_at_its_limit_and_missed_above_it() -> None:
    at = two_rounds(sidecar=(a_round(45.0), a_round(45.0)), envoy=(a_round(100.0), a_round(100.0)))
    above = two_rounds(sidecar=(a_round(45.1), a_round(45.1)), envoy=(a_round(100.0), a_round(100.0)))

    assert marks(at)["get.cpu_us"] is Mark.MET
    assert marks(above)["get.cpu_us"] is Mark.MISSED


def test_a_latency_above_the_baselines_misses() -> None:
    results = two_rounds(sidecar=(a_round(80.0), a_round(80.0)), envoy=(a_round(75.0), a_round(75.0)))

    assert marks(results)["half.p99_ms"] is Mark.MISSED


def test_wrong_answers_miss_the_bar_however_cheap_they_were() -> None:
    results = two_rounds(sidecar=(a_round(30.0), a_round(30.0, reset=2)), envoy=(a_round(75.0), a_round(75.0)))

    ruling = next(ruling for ruling in judge(results) if ruling.bar.figure == "get.cpu_us")

    assert ruling.mark is Mark.MISSED
    assert ruling.reason == "2 wrong answers"


def test_without_the_baseline_a_ratio_is_not_measured() -> None:
    alone = Results("envoy", {"sidecar": [a_round(30.0)]})

    assert marks(alone)["get.cpu_us"] is Mark.NOT_MEASURED
    assert marks(alone)["process.start_s"] is Mark.MET
