from dataclasses import replace

import pytest

from sidecar.demo.counts import Arrivals, Requests
from sidecar.demo.figures import figures, percent, verdict
from sidecar.demo.script import Scene, Script, ScriptPhase
from tests.demo.sides import TROUBLED, side


def test_a_side_that_is_well_from_the_end_of_the_trouble_on_recovered_at_once() -> None:
    observed = side("++--++++++")

    recovery = figures(observed, TROUBLED).last_recovery

    assert recovery is not None
    assert (recovery.trouble, recovery.seconds, recovery.watched) == (ScriptPhase.HANGING, 0.0, 6.0)


def test_the_time_to_recover_is_counted_from_the_end_of_the_trouble() -> None:
    observed = side("++----++++")

    recovery = figures(observed, TROUBLED).last_recovery

    assert recovery is not None
    assert recovery.seconds == 2.0


def test_a_relapse_takes_the_recovery_back() -> None:
    observed = side("++--++-+++")

    recovery = figures(observed, TROUBLED).last_recovery

    assert recovery is not None
    assert recovery.seconds == 3.0


def test_a_side_that_is_unwell_in_its_last_second_has_not_recovered() -> None:
    observed = side("++--+++++-")

    recovery = figures(observed, TROUBLED).last_recovery

    assert recovery is not None
    assert recovery.seconds is None


@pytest.mark.parametrize(("succeeded", "recovered"), [(38, 0.0), (37, 0.25)])
def test_well_means_at_least_95_of_100_requests_in_every_second(succeeded: int, recovered: float) -> None:
    observed = side("++--++++++")
    observed.requests[16] = Requests(issued=10, succeeded=succeeded - 30)

    recovery = figures(observed, TROUBLED).last_recovery

    assert recovery is not None
    assert recovery.seconds == recovered


def test_a_trouble_is_watched_until_just_before_the_next_one() -> None:
    script = Script(
        (
            Scene(ScriptPhase.FAILING, 1.0),
            Scene(ScriptPhase.HEALTHY, 3.0),
            Scene(ScriptPhase.HANGING, 1.0),
            Scene(ScriptPhase.HEALTHY, 3.0),
        )
    )
    observed = side("-+++-++-")
    observed.requests[15] = Requests(issued=10, succeeded=0)

    first, second = figures(observed, script).recoveries

    assert (first.trouble, first.seconds, first.watched) == (ScriptPhase.FAILING, 0.0, 2.75)
    assert (second.trouble, second.seconds, second.watched) == (ScriptPhase.HANGING, None, 3.0)


def test_amplification_is_attempts_over_requests_never_a_mean_of_ratios() -> None:
    observed = side("++", attempts=[40, 400])
    observed.requests = {slot: Requests(issued=30 if slot < 4 else 10) for slot in range(8)}
    script = Script((Scene(ScriptPhase.HEALTHY, 2.0),))

    result = figures(observed, script)

    assert result.amplification == pytest.approx(440 / 160)


def test_the_worst_second_and_the_peak_need_not_begin_with_a_whole_second() -> None:
    observed = side("++++")
    for slot in (6, 7, 8, 9):
        observed.arrivals[slot] = Arrivals(arrived=50, repeated=40)
    script = Script((Scene(ScriptPhase.HEALTHY, 4.0),))

    result = figures(observed, script)

    assert result.worst_amplification == 5.0
    assert result.peak_load == 200


def test_a_first_attempt_that_comes_late_is_load_and_not_amplification() -> None:
    observed = side("++++")
    observed.arrivals[4] = Arrivals(arrived=0)
    observed.arrivals[8] = Arrivals(arrived=20)
    script = Script((Scene(ScriptPhase.HEALTHY, 4.0),))

    result = figures(observed, script)

    assert result.worst_amplification == 1.0
    assert result.peak_load == 50


def test_attempts_that_arrive_after_the_last_request_count_for_the_whole_and_not_for_a_second() -> None:
    observed = side("++++++++++" + "++", attempts=[40] * 10 + [4000, 4000])
    for slot in range(40, 48):
        del observed.requests[slot]

    result = figures(observed, TROUBLED)

    assert result.attempts == 8400
    assert result.requests == 400
    assert result.worst_amplification == 1.0


def test_wasted_work_is_a_share_of_the_work_that_was_done() -> None:
    observed = side("++--++++++", wasted=10)

    result = figures(observed, TROUBLED)

    assert (result.served, result.wasted) == (320, 400)
    assert result.wasted_share == pytest.approx(400 / 720)


def test_a_scene_has_the_figures_of_its_own_seconds() -> None:
    observed = side("++--++++++", attempts=[40, 40, 80, 120, 40, 40, 40, 40, 40, 40])

    scene = figures(observed, TROUBLED).scenes[1]

    assert (scene.requests, scene.succeeded, scene.attempts) == (80, 0, 200)
    assert scene.success == 0.0
    assert scene.amplification == 2.5


def test_nothing_counted_is_no_figure_rather_than_a_good_one() -> None:
    result = figures(side(""), TROUBLED)

    assert (result.success, result.amplification, result.wasted_share) == (None, None, None)
    assert result.last_recovery is not None
    assert result.last_recovery.seconds is None


def test_the_sentence_says_who_recovered_and_why_the_other_did_not() -> None:
    governed = figures(side("++--++++++"), TROUBLED)
    naive = figures(side("++--------", attempts=[40, 40, 80, 120] + [120] * 6, wasted=10), TROUBLED)

    sentence = verdict(governed, naive)

    assert "well at once" in sentence
    assert "down for all of the 6 s" in sentence
    assert "retries kept the load at 2.4 times what it can carry" in sentence
    assert "100 % of its work" in sentence


def test_the_sentence_does_not_claim_a_collapse_that_did_not_happen() -> None:
    governed = figures(side("++--++++++"), TROUBLED)
    naive = figures(side("++---+++++"), TROUBLED)

    sentence = verdict(governed, naive)

    assert sentence.startswith("Both sides recovered from the hang: the sidecar at once, the naive client 1 s later.")
    assert "does not show a lasting collapse" in sentence


def test_the_sentence_admits_that_the_sidecar_did_worse() -> None:
    governed = figures(side("++--------"), TROUBLED)
    naive = figures(side("++---+++++"), TROUBLED)

    sentence = verdict(governed, naive)

    assert sentence.startswith("The sidecar did worse here")


def test_the_sentence_admits_that_the_sidecar_was_slower() -> None:
    governed = figures(side("++----++++"), TROUBLED)
    naive = figures(side("++---+++++"), TROUBLED)

    sentence = verdict(governed, naive)

    assert "The sidecar was no sooner" in sentence


def test_the_sentence_admits_that_neither_recovered() -> None:
    lost = figures(side("++--------"), TROUBLED)

    sentence = verdict(lost, lost)

    assert sentence.startswith("Neither side recovered from the hang in the 6 s")


def test_the_sentence_says_when_the_sidecar_came_back_later_from_an_earlier_trouble() -> None:
    script = Script(
        (
            Scene(ScriptPhase.FAILING, 1.0),
            Scene(ScriptPhase.HEALTHY, 3.0),
            Scene(ScriptPhase.HANGING, 1.0),
            Scene(ScriptPhase.HEALTHY, 2.0),
        )
    )
    governed = figures(side("--++-++"), script)
    naive = figures(side("-+++---"), script)

    sentence = verdict(governed, naive)

    assert "the naive client was well at once, the sidecar 1 s later" in sentence


def test_the_sentence_warns_when_the_machine_could_not_keep_up() -> None:
    governed = figures(side("++--++++++"), TROUBLED)
    late = replace(figures(side("++--------"), TROUBLED), late=1.25)

    sentence = verdict(governed, late)

    assert sentence.endswith("this machine was up to 1.2 s behind the clock: run it again before you believe it.")


@pytest.mark.parametrize(
    ("share", "words"),
    [(None, "-"), (0.0, "0 %"), (0.0001, "0.1 %"), (0.5, "50 %"), (0.9999, "99.9 %"), (1.0, "100 %"), (3.2, "320 %")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float | None, words: str) -> None:
    assert percent(share) == words
