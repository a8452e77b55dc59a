"""Chance that a test decides: seeded where many throws are needed, scripted where each one matters."""

from random import Random


class SeededDice:
    """Uniform in [0, 1), the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def __call__(self) -> float:
        return self._random.random()


class ScriptedDice:
    """Throws what it was given, in that order, and fails the test that throws more often.

    Each roll lies in [0, 1), like those of the chance it stands for: ValueError otherwise.
    """

    def __init__(self, *rolls: float) -> None:
        for roll in rolls:
            if not 0 <= roll < 1:
                raise ValueError(f"a roll must be at least 0 and under 1, got {roll!r}")
        self._rolls = list(rolls)

    def __call__(self) -> float:
        assert self._rolls, "the dice were thrown more often than the test foresaw"
        return self._rolls.pop(0)

    @property
    def left(self) -> int:
        """Rolls not thrown yet."""
        return len(self._rolls)
