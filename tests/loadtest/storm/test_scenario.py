"""The scenarios as they are written down, for whatever plays them."""

from pathlib import Path

import pytest

from loadtest.storm.scenario import Fault, scenarios

MINIMAL = """
defaults: {proxies: 4, rate: 320, posts: 0.1, deadline: 3s, timeout: 3s, per_try: 1s, destinations: 1, endpoints: 1,
  workers: 20, service: 50ms, queue: 4000, keys: 0, miss: 1, before: 5s, after: 8s}
scenarios:
  hang: {title: it hangs, trouble: 5s, faults: [%s]}
"""


def written(tmp_path: Path, fault: str) -> Path:
    path = tmp_path / "storms.yaml"
    path.write_text(MINIMAL % fault)
    return path


@pytest.mark.parametrize("scenario", scenarios().values(), ids=lambda scenario: scenario.name)
def test_every_scenario_is_possible(scenario: object) -> None:
    load = scenario.rate / scenario.capacity
    last = max(fault.at + fault.seconds for fault in scenario.faults)

    assert 0.5 < load <= 0.81
    assert last <= scenario.trouble
    assert all(fault.cold or fault.seconds > 0 for fault in scenario.faults)
    assert any(fault.hits(0, 0) for fault in scenario.faults)


def test_what_the_file_says_is_what_is_played(tmp_path: Path) -> None:
    hang = scenarios(written(tmp_path, "{at: 500ms, for: 5s, speed: 0}"))["hang"]

    assert hang.faults == (Fault(at=0.5, seconds=5.0, speed=0),)
    assert (hang.seconds, hang.ends, hang.capacity) == (18.0, 10.0, 400.0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("{at: 0s, for: 5s, velocity: 0}", "hang: faults: velocity is not known"),
        ("{at: 0, for: 5s, speed: 0}", "hang: faults: at: must be a duration"),
    ],
)
def test_what_is_not_understood_is_named(tmp_path: Path, fault: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        scenarios(written(tmp_path, fault))


def test_a_scaled_scenario_has_shorter_parts_and_the_same_patience(tmp_path: Path) -> None:
    hang = scenarios(written(tmp_path, "{at: 1s, for: 4s, speed: 0}"))["hang"].scaled(0.5)

    assert (hang.before, hang.trouble, hang.after) == (2.5, 2.5, 4.0)
    assert hang.faults == (Fault(at=0.5, seconds=2.0, speed=0),)
    assert (hang.deadline, hang.service, hang.rate) == (3.0, 0.05, 320)


@pytest.mark.parametrize(
    ("fault", "hit"),
    [
        (Fault(0.0), [True, True, True]),
        (Fault(0.0, destination=0), [True, True, False]),
        (Fault(0.0, endpoint=1), [False, True, False]),
    ],
)
def test_a_fault_hits_where_it_says_and_everywhere_otherwise(fault: Fault, hit: list[bool]) -> None:
    places = [(0, 0), (0, 1), (1, 0)]

    assert [fault.hits(*place) for place in places] == hit
