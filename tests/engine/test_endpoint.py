"""Which endpoint is chosen, and which is left alone: the laws that the proxy's pool and the simulator share."""

from random import Random

from sidecar.engine.destination import OUTLIER_FAILURES, Destination
from sidecar.engine.endpoint import HealthRecord, P2CBalancer
from sidecar.engine.policy import DestinationPolicy


def three() -> tuple[list[HealthRecord], P2CBalancer[HealthRecord]]:
    standings = [HealthRecord() for _ in range(3)]
    return standings, P2CBalancer(standings, Random(1).random)


def chosen(choice: P2CBalancer[HealthRecord], tried: tuple[HealthRecord, ...] = (), now: float = 1.0) -> set[int]:
    return {choice.addresses.index(choice.choose(tried, now)) for _ in range(60)}


def test_the_busiest_is_never_chosen_and_one_that_was_tried_is_not_tried_again() -> None:
    standings, choice = three()
    standings[0].in_flight = 3

    assert chosen(choice) == {1, 2}
    assert chosen(choice, (standings[1],)) == {2}


def test_where_no_connection_can_be_made_nothing_goes_for_a_while_and_longer_each_time() -> None:
    standings, choice = three()
    standings[2].record_connect_failure(1.0)
    soon, later = chosen(choice, now=1.9), chosen(choice, now=2.0)
    standings[2].record_connect_failure(2.0)

    assert soon == {0, 1}
    assert later == {0, 1, 2}
    assert standings[2].ejected_until == 4.0


def test_where_all_are_down_all_are_forgiven() -> None:
    standings, choice = three()
    for standing in standings:
        standing.record_connect_failure(1.0)

    assert chosen(choice, now=1.1) == {0, 1, 2}


def test_fast_failures_are_held_against_one_only_where_others_answer() -> None:
    destination = Destination("d", DestinationPolicy(), lambda: 0.5, 0.0)
    standing = HealthRecord()

    for _ in range(OUTLIER_FAILURES):
        standing.record_failure(destination, 1.0)

    assert standing.ejected_until == 2.0
    standing.record_success(150.0)
    assert (standing.consecutive_failures, standing.ejected_until) == (0, 0.0)
