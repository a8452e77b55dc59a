"""The right to hold callers back on suspicion is earned, and bounded whatever happens."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.engine.hold_budget import LEAST_SECONDS, MAX_SECONDS, SHARE, HoldBudget

RATE = 100.0


def funded(seconds: float = MAX_SECONDS) -> HoldBudget:
    budget = HoldBudget()
    budget.earn(round(seconds * RATE / SHARE), RATE)
    return budget


def test_a_new_destination_has_earned_nothing() -> None:
    assert not HoldBudget().is_funded


def test_no_more_is_saved_up_than_for_a_few_seconds() -> None:
    budget = funded(100 * MAX_SECONDS)
    for _ in range(round(MAX_SECONDS * RATE)):
        budget.spend()

    assert not budget.is_funded


def test_less_than_is_worth_spending_is_not_spent() -> None:
    assert not funded(LEAST_SECONDS - 0.1).is_funded
    assert funded(LEAST_SECONDS).is_funded


def test_once_begun_it_is_spent_to_its_end() -> None:
    budget = funded()

    held = 0
    while budget.is_funded:
        budget.spend()
        held += 1

    assert held == MAX_SECONDS * RATE


def test_what_was_overdrawn_has_to_be_earned_as_well() -> None:
    budget = funded()
    for _ in range(round(2 * MAX_SECONDS * RATE)):
        budget.spend()

    budget.earn(round(MAX_SECONDS * RATE / SHARE), RATE)

    assert not budget.is_funded


def test_an_episode_may_overdraw_it_by_as_much_as_can_be_saved_up() -> None:
    budget = funded()
    for _ in range(round(2 * MAX_SECONDS * RATE)):
        budget.spend()

    assert not budget.is_exhausted

    budget.spend()

    assert budget.is_exhausted


def test_an_unfounded_suspicion_costs_all_of_it() -> None:
    budget = funded()

    budget.clear()

    assert not budget.is_funded


def test_and_forgives_no_debt() -> None:
    budget = funded(LEAST_SECONDS)
    for _ in range(round(LEAST_SECONDS * RATE) + 1):
        budget.spend()

    budget.clear()
    budget.earn(round(LEAST_SECONDS * RATE / SHARE), RATE)

    assert not budget.is_funded


def test_a_quiet_destination_needs_at_least_one_whole_request() -> None:
    budget = HoldBudget()
    budget.earn(10, 0.001)

    assert not budget.is_funded


@given(st.lists(st.tuples(st.integers(0, 20_000), st.floats(0.1, 1000.0), st.integers(0, 50)), max_size=60))
def test_no_more_is_held_than_its_share_of_all_that_was_answered(history: list[tuple[int, float, int]]) -> None:
    budget = HoldBudget()
    answered = held = 0
    for count, rate, wanted in history:
        budget.earn(count, rate)
        answered += count
        for _ in range(wanted):
            if budget.is_funded:
                budget.spend()
                held += 1

    assert held <= SHARE * answered
