from collections.abc import Callable

import pytest

from sidecar.client.retries import MAX_UNLISTED, Retries
from tests.client.conftest import quick_policy

RetriesOf = Callable[..., Retries]


def test_a_destination_is_found_by_its_name(retries_of: RetriesOf) -> None:
    retries = retries_of()

    assert retries["payments"].name == "payments"
    assert list(retries) == ["payments"]
    assert len(retries) == 1


def test_a_mistyped_name_is_told_from_the_right_one(retries_of: RetriesOf) -> None:
    with pytest.raises(KeyError, match="did you mean 'payments'"):
        retries_of()["paymnets"]


def test_a_host_leads_to_its_destination_whatever_its_spelling(retries_of: RetriesOf) -> None:
    retries = retries_of()

    assert retries.for_host("PAYMENTS.test.", 443) is retries["payments"]


def test_a_host_with_its_port_comes_before_the_host_alone() -> None:
    policy = quick_policy()
    retries = Retries({"a": policy, "b": policy}, {"127.0.0.1": "a", "127.0.0.1:9002": "b"}, policy)

    assert retries.for_host("127.0.0.1", 9001) is retries["a"]
    assert retries.for_host("127.0.0.1", 9002) is retries["b"]


def test_each_unlisted_host_has_a_state_of_its_own_and_those_beyond_the_bound_share_one(retries_of: RetriesOf) -> None:
    retries = retries_of()
    first = [retries.for_host(f"host-{number}.test", 80) for number in range(MAX_UNLISTED)]

    beyond = {id(retries.for_host(f"more-{number}.test", 80)) for number in range(50)}

    assert len({id(each) for each in first}) == MAX_UNLISTED
    assert retries.for_host("host-0.test", 80) is first[0]
    assert len(beyond) == 1


def test_metrics_read_the_engines_of_named_destinations_only(retries_of: RetriesOf) -> None:
    retries = retries_of()
    retries.for_host("other.test", 80)

    assert list(retries.destinations) == ["payments"]


def test_a_policy_that_is_only_observed_interferes_with_nothing(retries_of: RetriesOf) -> None:
    retries = retries_of(observe=True)

    assert retries["payments"].policy.retry.max_attempts == 1
    assert retries["payments"].policy.timeout > 600
