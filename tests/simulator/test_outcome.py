"""Recovery and shares, by their definitions."""

import pytest

from sidecar.simulator.fleet import SLOT
from sidecar.simulator.outcome import _quantile, _recovery


def test_a_fleet_has_recovered_after_the_last_slot_that_was_not_well() -> None:
    good = [0, 50, 96, 94, 100, 100, 100, 100, 100, 100]

    assert _recovery(good, [100] * 10) == 4 * SLOT


def test_a_fleet_that_is_not_well_at_the_end_has_not_recovered() -> None:
    assert _recovery([100] * 9 + [0], [100] * 10) is None


def test_a_fleet_that_was_never_unwell_has_recovered_at_once() -> None:
    assert _recovery([95] * 10, [100] * 10) == 0.0


def test_a_slot_without_requests_is_well() -> None:
    assert _recovery([0, 0, 0], [0, 0, 0]) == 0.0


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.99, 4.0), (0.25, 1.0)])
def test_a_quantile_is_a_value_that_was_there(share: float, value: float) -> None:
    assert _quantile([1.0, 2.0, 3.0, 4.0], share) == value
