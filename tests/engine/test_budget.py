import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sidecar.engine.budget import FREE_RECONNECTS, NestedBudget, RetryBudget
from sidecar.engine.policy import BudgetPolicy

ROUNDING = 1e-6


def budget_with(requests: int, policy: BudgetPolicy | None = None, now: float = 0.0) -> RetryBudget:
    budget = RetryBudget(policy or BudgetPolicy(), now)
    for _ in range(requests):
        budget.deposit(now)
    return budget


def spend_all(budget: RetryBudget, now: float) -> int:
    spent = 0
    while budget.withdraw(now):
        spent += 1
    return spent


def test_a_quiet_destination_may_be_retried_a_few_times() -> None:
    budget = budget_with(requests=0)

    spent = [budget.withdraw(now) for now in (0.0, 1.0, 2.0, 3.0)]

    assert spent == [True, True, True, False]


def test_without_a_floor_and_without_requests_nothing_is_granted() -> None:
    budget = budget_with(0, BudgetPolicy(min_retries=0))

    granted = budget.withdraw(0.0)

    assert not granted
    assert budget.exhausted == 1


def test_a_ratio_of_zero_leaves_the_floor_alone() -> None:
    budget = budget_with(1000, BudgetPolicy(ratio=0.0, min_retries=2))

    spent = sum(spend_all(budget, float(second)) for second in range(10))

    assert spent == 2


def test_requests_pay_for_retries_at_the_ratio() -> None:
    budget = budget_with(30, BudgetPolicy(ratio=0.1, burst=10.0, min_retries=0))

    spent = spend_all(budget, 0.0)

    assert spent == 3


def test_one_bucket_may_not_spend_the_savings_of_a_window() -> None:
    budget = budget_with(1000, BudgetPolicy(ratio=0.1, burst=2.0, min_retries=0))

    spent = spend_all(budget, 0.0)

    assert spent == 21  # burst * ratio * requests / 10, and one


def test_a_refused_withdrawal_spends_nothing() -> None:
    budget = budget_with(0, BudgetPolicy(min_retries=1))
    budget.withdraw(0.0)

    budget.withdraw(0.5)

    assert budget.retries_in_window(0.5) == 1
    assert budget.exhausted == 1


def test_a_refunded_retry_can_be_spent_again() -> None:
    budget = budget_with(0, BudgetPolicy(min_retries=1))
    budget.withdraw(0.0)

    budget.refund(0.0)

    assert budget.balance(0.0) == 1.0
    assert budget.withdraw(0.0)


def test_a_refund_from_an_older_bucket_is_given_back() -> None:
    budget = budget_with(0, BudgetPolicy(min_retries=1))
    budget.withdraw(0.5)
    budget.deposit(4.0)

    budget.refund(0.5)

    assert budget.retries_in_window(4.0) == 0


def test_a_refund_of_something_forgotten_gives_nothing() -> None:
    budget = budget_with(0, BudgetPolicy(min_retries=2))
    budget.withdraw(0.0)
    budget.withdraw(60.0)

    budget.refund(0.0)

    assert budget.retries_in_window(60.0) == 1


@pytest.mark.parametrize("instant", [k * 0.1 for k in range(1, 60)])
def test_a_refund_finds_the_bucket_whatever_the_rounding_at_its_edge(instant: float) -> None:
    budget = budget_with(0, BudgetPolicy(window=1.0, min_retries=1))
    budget.withdraw(instant)

    budget.refund(instant)

    assert budget.retries_in_window(instant) == 0


def test_requests_pay_for_less_than_a_window() -> None:
    budget = budget_with(100, BudgetPolicy(min_retries=0))

    balances = [budget.balance(now) for now in (9.999, 10.0)]

    assert balances == [3.0, 0.0]


def test_retries_weigh_for_more_than_a_window() -> None:
    budget = budget_with(0, BudgetPolicy(min_retries=1))
    budget.withdraw(0.999)

    balances = [budget.balance(now) for now in (10.999, 11.0)]

    assert balances == [0.0, 1.0]


def test_the_balance_is_never_negative() -> None:
    budget = budget_with(100, BudgetPolicy(burst=10.0))
    spend_all(budget, 9.0)

    balance = budget.balance(10.5)  # the requests are gone, their retries are not

    assert balance == 0.0


def test_a_new_policy_keeps_what_was_earned_and_spent() -> None:
    budget = budget_with(1000, BudgetPolicy(min_retries=0))
    spent = spend_all(budget, 0.0)

    budget.adopt(BudgetPolicy(window=60.0, min_retries=0), 0.5)

    assert budget.requests_in_window(0.5) == 1000
    assert budget.retries_in_window(0.5) == spent


def test_a_shorter_window_begins_with_its_share_of_the_requests_and_all_retries() -> None:
    budget = budget_with(1000, BudgetPolicy(min_retries=0))
    spent = spend_all(budget, 0.0)

    budget.adopt(BudgetPolicy(window=1.0, min_retries=0), 0.5)

    assert budget.requests_in_window(0.5) == 100
    assert budget.retries_in_window(0.5) == spent


def test_a_retry_weighs_until_a_window_after_it_left() -> None:
    budget = budget_with(0, BudgetPolicy(min_retries=1))
    budget.withdraw(0.0)

    budget.depart(0.0, 5.0)

    assert [budget.balance(now) for now in (5.0, 15.999, 16.0)] == [0.0, 0.0, 1.0]


def test_a_departure_is_no_withdrawal_in_its_bucket() -> None:
    budget = budget_with(5, BudgetPolicy(min_retries=5))
    budget.withdraw(0.0)

    budget.depart(0.0, 1.5)

    assert budget.withdraw(1.5)


@pytest.mark.parametrize("meeting", [1.0, 4.0, 8.0, 9.9])
def test_retries_that_are_told_to_come_back_together_are_still_within_the_budget_of_every_window(
    meeting: float,
) -> None:
    policy = BudgetPolicy(burst=10.0)
    budget = RetryBudget(policy, 0.0)
    rate, seconds = 50, 60
    departures: list[float] = []
    held: list[tuple[float, float]] = []  # due, withdrawn at

    for k in range(rate * seconds):
        now = k / rate
        while held and held[0][0] <= now:
            budget.depart(held.pop(0)[1], now)
            departures.append(now)
        budget.deposit(now)
        if budget.withdraw(now):
            held.append((math.floor(now / meeting + 1) * meeting, now))

    most = max(sum(end - policy.window < at <= end for at in departures) for end in departures)
    assert most <= policy.ratio * rate * policy.window + policy.min_retries
    assert len(departures) > 0.5 * policy.ratio * rate * seconds


def test_a_new_policy_governs_the_next_withdrawal() -> None:
    budget = budget_with(100)

    budget.adopt(BudgetPolicy(ratio=0.0, min_retries=0), 0.0)

    assert not budget.withdraw(0.0)


@pytest.mark.parametrize("tries", [1, 2, 9])
def test_a_total_outage_spends_the_budget_and_no_more(tries: int) -> None:
    policy = BudgetPolicy()
    budget = RetryBudget(policy, 0.0)
    rate, seconds = 200, 60
    per_second = []

    for second in range(seconds):
        retries = 0
        for k in range(rate):
            now = second + k / rate
            budget.deposit(now)
            retries += sum(budget.withdraw(now) for _ in range(tries))
        per_second.append(retries)

    requests = rate * seconds
    assert sum(per_second) <= policy.ratio * requests + policy.min_retries * (seconds / policy.window + 1)
    assert sum(per_second) >= 0.85 * policy.ratio * requests
    assert max(per_second) <= policy.burst * policy.ratio * rate + 1


def test_an_outage_after_calm_does_not_burst() -> None:
    budget = RetryBudget(BudgetPolicy(), 0.0)
    for k in range(2000):
        budget.deposit(k / 200)

    retries = 0
    for k in range(200):
        budget.deposit(10 + k / 200)
        retries += sum(budget.withdraw(10 + k / 200) for _ in range(2))

    assert 30 <= retries <= 41  # 1.2 times the traffic of this second


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.floats(0.0, 1.0),
    st.integers(0, 5),
    st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(0, 20)), max_size=30),
)
def test_the_balance_says_whether_a_withdrawal_succeeds(
    ratio: float, floor: int, arrivals: list[tuple[float, int]]
) -> None:
    budget = RetryBudget(BudgetPolicy(ratio=ratio, min_retries=floor), 0.0)
    now = 0.0
    for pause, requests in arrivals:
        now += pause
        for _ in range(requests):
            budget.deposit(now)

        balance = budget.balance(now)

        assert budget.withdraw(now) == (balance >= 1 - ROUNDING)


class Outage(RuleBasedStateMachine):
    """Everything fails and everything wants to be tried again, at the worst moments there are."""

    @initialize(
        ratio=st.sampled_from([0.0, 0.1, 0.2, 1.0]),
        window=st.sampled_from([1.0, 3.0, 10.0, 300.0]),
        burst=st.sampled_from([1.0, 2.0, 10.0]),
        floor=st.sampled_from([0, 1, 3, 100]),
        start=st.sampled_from([0.0, 0.3, 12345.678]),
    )
    def begin(self, ratio: float, window: float, burst: float, floor: int, start: float) -> None:
        self.policy = BudgetPolicy(ratio, window, burst, floor)
        self.now = start
        self.budget = RetryBudget(self.policy, start)
        self.requests: list[float] = []
        self.retries: list[float] = []

    @rule(requests=st.sampled_from([1, 10, 100]))
    def requests_come_while_the_clock_stands_still(self, requests: int) -> None:
        for _ in range(requests):
            self.budget.deposit(self.now)
        self.requests += [self.now] * requests

    @rule(wanted=st.sampled_from([1, 5, 200]))
    def all_of_them_want_to_be_retried(self, wanted: int) -> None:
        for _ in range(wanted):
            before = self.budget.retries_in_window(self.now)
            if not self.budget.withdraw(self.now):
                assert self.budget.retries_in_window(self.now) == before
                return
            self.retries.append(self.now)
            self.check_the_sliding_window()

    def check_the_sliding_window(self) -> None:
        since = self.now - self.policy.window
        requests = sum(at > since - ROUNDING for at in self.requests)
        retries = sum(at > since + ROUNDING for at in self.retries)
        assert retries <= self.policy.ratio * requests + self.policy.min_retries + ROUNDING

        tenth = self.policy.window / 10
        bucket = math.floor(self.now / tenth + ROUNDING) * tenth
        at_once = sum(at >= bucket + ROUNDING for at in self.retries)
        assert at_once <= self.policy.burst * self.policy.ratio * requests / 10 + 1 + ROUNDING

    @precondition(lambda self: self.retries)
    @rule(which=st.sampled_from([0, -1]))
    def a_retry_does_not_leave(self, which: int) -> None:
        at = self.retries.pop(which)
        before = self.budget.retries_in_window(self.now)

        self.budget.refund(at)

        recent = at > self.now - self.policy.window + ROUNDING
        after = self.budget.retries_in_window(self.now)
        assert after == before - 1 if recent else before - 1 <= after <= before

    @rule(share=st.sampled_from([0.001, 0.0999999, 0.1, 0.5, 0.9, 0.9999999, 1.0, 1.0000001, 1.1, 5.0]))
    def time_passes_by_a_share_of_the_window(self, share: float) -> None:
        self.now += share * self.policy.window

    @rule()
    def time_passes_to_the_edge_of_the_bucket(self) -> None:
        self.now = max(self.now, self.budget._retries.edge)


Outage.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, derandomize=True)
test_no_pattern_of_arrivals_buys_more_than_the_budget = Outage.TestCase


def nested(count: int, policy: BudgetPolicy) -> tuple[RetryBudget, list[NestedBudget]]:
    """A budget, and parts of it that count their requests in it as well as in themselves."""
    whole = RetryBudget(policy, 0.0)
    return whole, [NestedBudget(policy, 0.0, whole) for _ in range(count)]


def test_parts_of_a_budget_have_its_floor_once() -> None:
    _, parts = nested(100, BudgetPolicy(ratio=0.1, min_retries=3))

    granted = sum(part.withdraw(number * 0.05) for number, part in enumerate(parts))

    assert granted == 3


def test_parts_of_a_budget_have_its_free_reconnects_once() -> None:
    _, parts = nested(100, BudgetPolicy(ratio=0.1, min_retries=3))

    granted = sum(part.withdraw_reconnect(number * 0.05) for number, part in enumerate(parts))

    assert granted == FREE_RECONNECTS + 3


def test_a_part_pays_from_what_it_has_itself() -> None:
    whole, (one, other) = nested(2, BudgetPolicy(ratio=0.1, min_retries=0))
    for _ in range(1000):
        whole.deposit(0.0)
        one.deposit(0.0)

    assert not other.withdraw(0.0)
    assert one.withdraw(0.0)
    assert whole.retries_in_window(0.0) == 1


def test_what_a_part_gives_back_the_whole_has_again() -> None:
    whole, (one, other) = nested(2, BudgetPolicy(ratio=0.1, min_retries=1))
    assert one.withdraw(0.0)
    assert not other.withdraw(0.0)

    one.refund(0.0)

    assert other.withdraw(0.0)
    other.depart(0.0, 9.5)
    assert whole.retries_in_window(9.5) == other.retries_in_window(9.5) == 1
