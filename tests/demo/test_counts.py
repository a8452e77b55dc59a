import json

import pytest

from sidecar.demo.counts import Arrivals, Slots, between, tell


def test_a_count_goes_to_the_quarter_second_it_happened_in() -> None:
    slots = Slots(Arrivals)

    slots.at(0.249).arrived += 1
    slots.at(0.25).arrived += 2

    assert slots.changes() == {"0": [1, 0, 0, 0, 0, 0], "1": [2, 0, 0, 0, 0, 0]}


def test_only_what_changed_is_told_again_and_then_as_a_whole() -> None:
    slots = Slots(Arrivals)
    slots.at(0.0).arrived += 1
    slots.at(1.0).arrived += 1
    slots.changes()

    slots.at(1.1).served += 1

    assert slots.changes() == {"4": [1, 0, 1, 0, 0, 0]}


def test_what_happens_before_the_start_is_not_part_of_the_first_slot() -> None:
    slots = Slots(Arrivals)

    slots.at(-0.001).arrived += 1

    assert slots.changes() == {"-1": [1, 0, 0, 0, 0, 0]}


def test_between_leaves_out_the_end_and_what_was_never_counted() -> None:
    rows = {1: Arrivals(1), 3: Arrivals(3), 4: Arrivals(4)}

    found = list(between(rows, 1, 4))

    assert found == [Arrivals(1), Arrivals(3)]


def test_a_message_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell("ready", port=80)

    written = capsys.readouterr().out

    assert written.endswith("}\n")
    assert json.loads(written) == {"event": "ready", "port": 80}
