import pytest

from tests.fakes.dice import ScriptedDice, SeededDice


def test_the_same_seed_throws_the_same() -> None:
    one, other = SeededDice(7), SeededDice(7)

    rolls = [one() for _ in range(50)]

    assert rolls == [other() for _ in range(50)]
    assert len(set(rolls)) == 50


def test_another_seed_throws_otherwise() -> None:
    one, other = SeededDice(7), SeededDice(8)

    assert [one() for _ in range(5)] != [other() for _ in range(5)]


def test_seeded_rolls_are_at_least_zero_and_under_one() -> None:
    dice = SeededDice(1)

    rolls = [dice() for _ in range(1000)]

    assert 0 <= min(rolls) < 0.05
    assert 0.95 < max(rolls) < 1


def test_scripted_dice_throw_what_they_were_given() -> None:
    dice = ScriptedDice(0.5, 0.0, 0.25)

    rolls = [dice(), dice()]

    assert rolls == [0.5, 0.0]
    assert dice.left == 1


def test_a_throw_too_many_fails_the_test() -> None:
    dice = ScriptedDice(0.5)
    dice()

    with pytest.raises(AssertionError, match="more often"):
        dice()


@pytest.mark.parametrize("roll", [-0.1, 1.0, float("nan")])
def test_a_roll_that_chance_could_not_throw_is_refused(roll: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and under 1"):
        ScriptedDice(roll)
