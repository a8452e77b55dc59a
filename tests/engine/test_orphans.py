from sidecar.engine.orphans import RECLAIM_INTERVAL_SECONDS, OrphanedSlots

NO_ANSWER = float("-inf")


def orphaned(seconds: float, count: int = 20) -> OrphanedSlots:
    """So many slots, left at second ten after so long."""
    slots = OrphanedSlots()
    for _ in range(count):
        slots.add(seconds, 10.0)
    return slots


def test_a_good_answer_gives_all_back_that_were_left_before_it() -> None:
    slots = orphaned(3.0)
    slots.add(3.0, 10.02)

    given_back = slots.reclaim(10.01, 10.03)

    assert (given_back, len(slots)) == (20, 1)


def test_without_a_good_answer_they_come_back_one_by_one() -> None:
    slots = orphaned(30.0)

    given_back = [
        slots.reclaim(NO_ANSWER, 10.0 + k * (RECLAIM_INTERVAL_SECONDS + 0.001) + ahead)
        for k in range(4)
        for ahead in (0.001, 0.002)
    ]

    assert given_back == [0, 0, 1, 0, 1, 0, 1, 0]


def test_a_slot_is_held_for_as_long_again_as_it_was_taken_and_no_longer() -> None:
    slots = orphaned(0.5, count=1000)

    before, after = slots.reclaim(NO_ANSWER, 10.499), slots.reclaim(NO_ANSWER, 10.5)

    assert (before, after) == (1, 999)


def test_when_the_next_slot_is_given_back_can_be_foretold() -> None:
    assert orphaned(3.0).reclaims_at == 10.0 + RECLAIM_INTERVAL_SECONDS
    assert orphaned(0.049).reclaims_at == 10.049
    assert OrphanedSlots().reclaims_at == float("inf")
