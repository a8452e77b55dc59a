import pytest

from sidecar.engine.backoff import full_jitter
from sidecar.engine.policy import BackoffPolicy
from tests.fakes.dice import ScriptedDice, SeededDice

POLICY = BackoffPolicy(base=0.1, max=1.0)


@pytest.mark.parametrize(("failures", "ceiling"), [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (10_000, 1.0)])
def test_the_ceiling_doubles_with_every_failure_up_to_its_maximum(failures: int, ceiling: float) -> None:
    delay = full_jitter(POLICY, failures, ScriptedDice(0.75))

    assert delay == pytest.approx(0.75 * ceiling)


def test_a_wait_may_be_nothing_at_all() -> None:
    assert full_jitter(POLICY, 3, ScriptedDice(0.0)) == 0.0


def test_the_waits_of_a_fleet_are_spread_over_the_whole_span() -> None:
    dice = SeededDice(5)

    delays = sorted(full_jitter(POLICY, 4, dice) for _ in range(2000))

    assert max(delays) < 0.8
    assert sum(delays) / 2000 == pytest.approx(0.4, abs=0.02)
    assert delays[500] == pytest.approx(0.2, abs=0.03)
