"""Virtual time: order, lanes, and an end."""

from sidecar.simulator.agenda import TICK, Agenda


def test_things_happen_in_the_order_of_their_instants_and_equal_ones_as_they_were_put_down() -> None:
    agenda, seen = Agenda(), []
    for instant, word in ((0.3, "c"), (0.1, "a"), (0.3, "d"), (0.2, "b")):
        agenda.at(instant, lambda what, _: seen.append((what, agenda.now)), word)

    agenda.run(1.0)

    assert seen == [("a", 0.1), ("b", 0.2), ("c", 0.3), ("d", 0.3)]
    assert agenda.now == 1.0


def test_what_is_due_later_waits_for_the_next_run() -> None:
    agenda, seen = Agenda(), []
    agenda.at(1.5, lambda what, _: seen.append(what), "late")

    agenda.run(1.0)
    before = list(seen)
    agenda.run(2.0)

    assert before == []
    assert seen == ["late"]


def test_what_happens_may_put_down_more_for_the_same_instant() -> None:
    agenda, seen = Agenda(), []
    agenda.at(1.0, lambda _, __: agenda.at(agenda.now, lambda what, _: seen.append(what), "child"))

    agenda.run(1.0)

    assert seen == ["child"]


def test_a_lane_fires_in_order_not_before_its_time_and_at_most_a_tick_after() -> None:
    agenda, seen = Agenda(), []
    lane = agenda.lane(0.5, lambda what, ticket: seen.append((what, ticket, agenda.now)))
    for number in range(5):
        agenda.at(number * 0.0031, lambda what, ticket: lane.add(agenda.now, what, ticket), f"timer {number}", number)

    agenda.run(1.0)

    assert [ticket for _, ticket, _ in seen] == [0, 1, 2, 3, 4]
    for _, ticket, fired in seen:
        assert 0.5 <= fired - ticket * 0.0031 <= 0.5 + TICK + 1e-9


def test_a_timer_that_was_dropped_is_not_held_and_does_not_fire() -> None:
    agenda, seen = Agenda(), []
    lane = agenda.lane(0.5, lambda what, _: seen.append(what))
    lane.add(0.0, "answered in time", 1)
    lane.add(0.1, "late", 1)

    lane.drop("answered in time")
    lane.drop("never there")
    agenda.run(1.0)

    assert seen == ["late"]
