from pathlib import Path
from statistics import fmean

import pytest

from loadtest.harmless.situation import Call, Deploy, Phase, Situation, situations

KNOWN = situations()
ENDS = 10.0


def call(*phases: Phase, spread: str = "fixed") -> Call:
    return Call("all", rate=1.0, phases=phases or (Phase(),), spread=spread)


@pytest.mark.parametrize("situation", KNOWN.values(), ids=list(KNOWN))
def test_every_situation_is_possible_and_short(situation: Situation) -> None:
    assert situation.title
    assert situation.group
    assert 0 < situation.seconds <= 20
    assert all(one.takes > 0 or one.phases for one in situation.calls)
    assert [phase.at for one in situation.calls for phase in one.phases[:1]] == [0.0] * len(situation.calls)


def test_an_answer_takes_what_the_phase_says_in_which_the_request_comes() -> None:
    shifting = call(Phase(0.0, takes=0.02), Phase(4.0, takes=0.4))

    taken = [shifting.seconds(now, 0.5, 0.9, ENDS) for now in (-0.1, 0.0, 3.99, 4.0, 11.0)]

    assert taken == [0.02, 0.02, 0.02, 0.4, 0.4]


def test_a_phase_with_an_end_moves_evenly_to_it_until_the_next_begins() -> None:
    warming = call(Phase(0.0, takes=2.0, to=1.0), Phase(4.0, takes=0.1, to=0.3))

    taken = [warming.seconds(now, 0.5, 0.9, ENDS) for now in (0.0, 2.0, 4.0, 7.0, 10.0)]

    assert taken == pytest.approx([2.0, 1.5, 0.1, 0.2, 0.3])


def test_the_slow_are_those_whose_dice_say_so_whoever_asks_for_them() -> None:
    mixed = call(Phase(0.0, takes=0.02, share=0.1, slow=3.0))

    taken = [mixed.seconds(1.0, 0.5, second, ENDS) for second in (0.0, 0.0999, 0.1, 0.99)]

    assert taken == [3.0, 3.0, 0.02, 0.02]


@pytest.mark.parametrize("spread", ["fixed", "even", "exponential", "lognormal"])
def test_whatever_the_spread_the_mean_is_what_was_said(spread: str) -> None:
    spreading = call(Phase(0.0, takes=0.2), spread=spread)

    taken = [spreading.seconds(0.0, (number + 0.5) / 10_000, 0.9, ENDS) for number in range(10_000)]

    assert fmean(taken) == pytest.approx(0.2, rel=0.01)


def test_endpoints_pause_one_after_the_other_and_not_at_the_start() -> None:
    pausing = Situation("gc", "", (call(),), endpoints=2, pause=0.4, pause_every=4.0)

    first = [pausing.paused_until(0, now) for now in (0.1, 3.9, 4.0, 4.1, 4.41, 8.3)]
    second = [pausing.paused_until(1, now) for now in (2.1, 4.1, 6.1)]

    assert first == pytest.approx([0.1, 3.9, 4.4, 4.4, 4.41, 8.4])
    assert second == pytest.approx([2.1, 4.1, 6.4])


def test_endpoints_are_replaced_in_turn() -> None:
    deploy = Deploy(at=2.0, every=3.0, gone=1.5)

    gone = [[deploy.is_gone(endpoint, now) for endpoint in range(3)] for now in (1.9, 2.0, 3.4, 3.6, 5.1)]

    assert gone == [
        [False, False, False],
        [True, False, False],
        [True, False, False],
        [False, False, False],
        [False, True, False],
    ]


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("{rate: 1, taks: 1s}", "odd: all: taks is not known"),
        ("{rate: 1, takes: 1}", "odd: all: takes: .*, got 1"),
        ("{rate: 1, callers: 2}", "odd: all: must have one of rate, callers, burst"),
        ("{rate: 1, spread: wide}", "odd: all: spread: must be one of even, exponential, fixed, lognormal, got 'wide'"),
        ("{rate: 1, phases: [{at: 1s, tales: 2s}]}", "odd: all: phases: tales is not known"),
    ],
)
def test_what_is_not_understood_is_named(said: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "situations.yaml"
    path.write_text(f"defaults: {{seconds: 1s}}\nsituations: {{odd: {{title: t, calls: {{all: {said}}}}}}}\n")

    with pytest.raises(ValueError, match=complaint):
        situations(path)
