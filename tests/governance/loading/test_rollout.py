from hypothesis import given
from hypothesis import strategies as st

from sidecar.governance.documents.document import AbortCondition
from sidecar.governance.documents.units import Duration
from sidecar.governance.loading.rollout import AmplificationWatch, Load, position

CONDITION = AbortCondition(amplification=1.2, window=Duration(60), min_requests=50)


def test_the_share_of_pods_is_the_percentage() -> None:
    chosen = sum(position("checkout", f"checkout-{pod}", 8) < 5 for pod in range(10_000))

    assert 400 <= chosen <= 600


def test_a_pod_stays_where_it_stands() -> None:
    """Written down: another hash would give every rollout under way to other pods."""
    assert round(position("checkout", "checkout-7d9f", 8), 6) == 92.793132


@given(st.integers(0, 100), st.integers(0, 100))
def test_who_is_chosen_at_a_smaller_share_is_chosen_at_a_larger(one: int, other: int) -> None:
    few, many = sorted((one, other))
    pods = [f"checkout-{pod}" for pod in range(50)]

    first = {pod for pod in pods if position("checkout", pod, 8) < few}
    later = {pod for pod in pods if position("checkout", pod, 8) < many}

    assert first <= later


def test_every_pod_is_chosen_at_a_hundred_and_none_at_zero() -> None:
    positions = [position("checkout", f"checkout-{pod}", 8) for pod in range(1000)]

    assert all(0 <= place < 100 for place in positions)


def test_each_version_goes_to_other_pods_first() -> None:
    pods = [f"checkout-{pod}" for pod in range(1000)]

    first = {pod for pod in pods if position("checkout", pod, 8) < 10}
    second = {pod for pod in pods if position("checkout", pod, 9) < 10}
    other_service = {pod for pod in pods if position("ledger", pod, 8) < 10}

    assert len(first & second) < 40
    assert len(first & other_service) < 40


def test_amplification_over_the_condition_is_a_breach() -> None:
    watch = AmplificationWatch(CONDITION, {"payments": Load(1000, 1000)}, now=0.0)

    calm = watch.sample({"payments": Load(1110, 1100)}, now=10.0)
    breach = watch.sample({"payments": Load(1250, 1200)}, now=20.0)

    assert calm is None
    assert breach is not None
    assert (breach.destination, breach.amplification, breach.requests) == ("payments", 1.25, 200)


def test_what_the_older_version_did_is_not_held_against_the_new_one() -> None:
    watch = AmplificationWatch(CONDITION, {"payments": Load(9000, 1000)}, now=0.0)

    assert watch.sample({"payments": Load(9100, 1100)}, now=10.0) is None


def test_few_requests_prove_nothing() -> None:
    watch = AmplificationWatch(CONDITION, {"payments": Load(0, 0)}, now=0.0)

    assert watch.sample({"payments": Load(147, 49)}, now=10.0) is None
    assert watch.sample({"payments": Load(150, 50)}, now=11.0) is not None


def test_exactly_the_condition_is_no_breach() -> None:
    watch = AmplificationWatch(CONDITION, {}, now=0.0)

    assert watch.sample({"payments": Load(120, 100)}, now=10.0) is None


def test_what_is_older_than_the_window_does_not_dilute_a_storm() -> None:
    watch = AmplificationWatch(CONDITION, {"payments": Load(0, 0)}, now=0.0)
    for second in range(1, 601):
        assert watch.sample({"payments": Load(100 * second, 100 * second)}, now=float(second)) is None

    found = [
        second
        for second in range(1, 61)
        if watch.sample({"payments": Load(60_000 + 150 * second, 60_000 + 100 * second)}, now=600.0 + second)
    ]

    assert 20 <= found[0] <= 26  # 1.2 over the minute is reached after 24 s at 1.5


def test_a_destination_that_was_not_there_before_counts_from_zero_and_the_worst_is_named() -> None:
    watch = AmplificationWatch(CONDITION, {"payments": Load(0, 0)}, now=0.0)

    breach = watch.sample({"payments": Load(130, 100), "ledger": Load(200, 100)}, now=10.0)

    assert breach is not None
    assert breach.destination == "ledger"


def test_a_watch_of_days_holds_few_samples() -> None:
    watch = AmplificationWatch(CONDITION, {}, now=0.0)

    for step in range(10_000):
        watch.sample({}, now=step * 0.25)

    assert len(watch._samples) <= 33
