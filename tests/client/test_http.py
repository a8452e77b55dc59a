import pytest

from sidecar.client.governed import GovernedDestination
from sidecar.client.http import answered, keyed
from sidecar.client.safety import Safety
from sidecar.engine.policy import DestinationPolicy

PLAIN = DestinationPolicy()
HONOURING = DestinationPolicy(honours_keys=True, key_retention=60.0)


def declared(method: str, keys: list[str], policy: DestinationPolicy, *, replayable: bool = True) -> Safety:
    destination = GovernedDestination("payments", policy, lambda: 0.5)

    def fields(name: str) -> list[str]:
        return keys if name == "Idempotency-Key" else []

    return keyed(destination, method, fields, b"", replayable=replayable)[0]


@pytest.mark.parametrize("method", ["GET", "put", "DELETE", "QUERY"])
def test_an_idempotent_method_is_safe(method: str) -> None:
    assert declared(method, [], PLAIN) == Safety(idempotent=True)


def test_a_write_has_the_key_that_it_came_with() -> None:
    assert declared("POST", ["k-1", "k-1"], HONOURING, replayable=False) == Safety(
        idempotency_key="k-1", replayable=False
    )


def test_a_write_without_a_key_gets_one_where_the_destination_honours_keys() -> None:
    assert declared("POST", [], HONOURING).idempotency_key is not None
    assert declared("POST", [], PLAIN) == Safety()


def test_two_different_keys_are_none() -> None:
    assert declared("POST", ["a", "b"], HONOURING) == Safety()


def test_an_answer_is_a_failure_for_the_policy_to_judge_from_400_on() -> None:
    good, bad = answered("r", 204, None, None), answered("r", 503, "7", None)

    assert good.failure is None
    assert bad.failure is not None
    assert (bad.failure.status, bad.failure.retry_after) == (503, 7.0)
    assert bad.value == "r"


def test_a_wish_to_wait_that_is_nonsense_is_none() -> None:
    outcome = answered("r", 503, "soon", None)

    assert outcome.failure is not None
    assert outcome.failure.retry_after is None
