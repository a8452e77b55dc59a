from itertools import islice

import pytest

from loadtest.harmless.plan import asked_by, planned
from loadtest.harmless.situation import Call, Situation

MIXED = Situation(
    "mixed",
    "",
    (Call("quick", rate=200.0), Call("batch", burst=30, at=3.0), Call("late", rate=10.0, begins=6.0)),
    seconds=10.0,
)


def test_a_seed_gives_the_same_requests_each_time_and_another_others() -> None:
    again = planned(MIXED, 1)

    assert again == planned(MIXED, 1)
    assert again != planned(MIXED, 2)


def test_requests_come_in_order_at_their_rate_and_when_they_are_to_begin() -> None:
    made = planned(MIXED, 1)

    assert [request.number for request in made] == list(range(len(made)))
    assert [request.at for request in made] == sorted(request.at for request in made)
    counts = [sum(request.kind == kind for request in made) for kind in range(3)]
    assert counts[0] == pytest.approx(2000, rel=0.1)
    assert counts[1] == 30
    assert counts[2] == pytest.approx(40, rel=0.5)
    assert {request.at for request in made if request.kind == 1} == {3.0}
    assert all(6.0 < request.at < 10.0 for request in made if request.kind == 2)


def test_what_a_kind_asks_for_does_not_depend_on_the_others() -> None:
    alone = planned(Situation("mixed", "", MIXED.calls[:1], seconds=10.0), 1)

    beside = [request for request in planned(MIXED, 1) if request.kind == 0]

    assert [(one.at, one.first, one.second) for one in alone] == [(one.at, one.first, one.second) for one in beside]


def test_callers_of_a_loop_ask_for_the_same_each_time_and_no_two_for_one_number() -> None:
    asked = [[request.identity() for request in islice(asked_by(MIXED, 0, caller, 1), 100)] for caller in range(20)]

    assert asked[3] == [request.identity() for request in islice(asked_by(MIXED, 0, 3, 1), 100)]
    assert len({identity.split()[0] for each in asked for identity in each}) == 2000
