import pytest

from sidecar.demo.counts import Arrivals, Requests
from sidecar.demo.observation import Observation
from sidecar.demo.script import ScriptPhase


def test_a_later_line_corrects_an_earlier_one() -> None:
    side = Observation("some side")
    side.hear_traffic({"slots": {"3": [10, 0, 0, 0]}, "in_flight": 10, "late": 0.0})

    side.hear_traffic({"slots": {"3": [10, 9, 0, 0], "4": [5, 0, 9, 1]}, "in_flight": 5, "late": 0.0})

    assert side.requests == {3: Requests(10, 9), 4: Requests(5, 0, 9, 1)}
    assert side.in_flight == 5


def test_the_dependency_tells_its_phase_and_its_queue() -> None:
    side = Observation("some side")

    side.hear_dependency(
        {"slots": {"0": [5, 1, 1, 1, 1, 1]}, "phase": "hanging", "waiting": 7, "running": 2, "late": 0.01}
    )

    assert side.arrivals == {0: Arrivals(5, 1, 1, 1, 1, 1)}
    assert (side.phase, side.waiting, side.running) == (ScriptPhase.HANGING, 7, 2)


def test_the_worst_delay_of_any_process_is_kept() -> None:
    side = Observation("some side")

    for late in (0.01, 0.3, 0.02):
        side.hear_traffic({"slots": {}, "in_flight": 0, "late": late})

    assert side.late == 0.3


def test_a_message_without_slots_is_an_error() -> None:
    side = Observation("some side")

    with pytest.raises(TypeError, match="slots: must be an object"):
        side.hear_traffic({"slots": [], "in_flight": 0, "late": 0.0})
