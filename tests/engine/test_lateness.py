from hypothesis import given
from hypothesis import strategies as st

from sidecar.engine.lateness import (
    MARGIN,
    MAX_RETRIES,
    MEMORY_SECONDS,
    RETRY_SHARE,
    WIN_REWARD,
    Lateness,
    LateRetryAllowance,
)


def test_nothing_is_learned_at_first() -> None:
    assert Lateness().seconds == 0.0


def test_late_is_what_is_later_than_the_longest_late_answer() -> None:
    lateness = Lateness()

    for seconds in (3.0, 8.0, 5.0):
        lateness.learn(seconds, 10.0)

    assert lateness.seconds == MARGIN * 8.0


def test_it_is_remembered_for_one_memory_and_forgotten_after_two() -> None:
    lateness = Lateness()
    lateness.learn(8.0, 0.0)

    lateness.learn(3.0, 0.9 * MEMORY_SECONDS)
    within = lateness.seconds
    lateness.learn(3.0, 1.5 * MEMORY_SECONDS)
    after_one = lateness.seconds
    lateness.learn(3.0, 2.5 * MEMORY_SECONDS)
    after_two = lateness.seconds

    assert (within, after_one, after_two) == (MARGIN * 8.0, MARGIN * 8.0, MARGIN * 3.0)


def test_after_a_long_silence_it_begins_anew() -> None:
    lateness = Lateness()
    lateness.learn(8.0, 0.0)

    lateness.learn(3.0, 10 * MEMORY_SECONDS)

    assert lateness.seconds == MARGIN * 3.0


def granted(allowance: LateRetryAllowance, requests: int, *, alone: bool = False) -> int:
    count = 0
    while allowance.withdraw(requests, alone=alone):
        count += 1
    return count


def test_the_first_late_attempt_is_tried_again_if_it_is_alone() -> None:
    assert granted(LateRetryAllowance(), 0, alone=True) == 1


def test_it_is_not_where_others_are_under_way_as_well_and_little_is_known() -> None:
    assert granted(LateRetryAllowance(), 99) == 0
    assert granted(LateRetryAllowance(), 100) == 2


def test_each_that_wins_pays_for_itself_and_one_more() -> None:
    allowance = LateRetryAllowance()
    granted(allowance, 0, alone=True)

    allowance.won()

    assert granted(allowance, 0, alone=True) == WIN_REWARD


def test_no_more_is_saved_up_than_a_few() -> None:
    allowance = LateRetryAllowance()

    assert granted(allowance, 10**6) == MAX_RETRIES


def test_one_that_was_not_made_costs_nothing() -> None:
    allowance = LateRetryAllowance()
    granted(allowance, 0, alone=True)

    allowance.refund()

    assert granted(allowance, 0, alone=True) == 1


@given(st.lists(st.tuples(st.integers(1, 500), st.booleans()), max_size=200))
def test_where_they_help_nobody_there_are_no_more_than_their_share(history: list[tuple[int, bool]]) -> None:
    allowance = LateRetryAllowance()
    requests = retries = 0
    for more, alone in history:
        requests += more
        retries += granted(allowance, requests, alone=alone)

    assert retries <= 1 + RETRY_SHARE * requests + 1e-6
