import pytest

from sidecar.engine.verdict import DELIVER, REFUSED, Refusal, Retry


def test_the_refusals_stand_in_the_order_in_which_they_are_checked() -> None:
    assert [refusal.value for refusal in Refusal] == [
        "committed",
        "peer_refused",
        "not_replayable",
        "not_idempotent",
        "attempts_exhausted",
        "retry_after_too_long",
        "deadline",
        "draining",
        "breaker_open",
        "concurrency_limit",
        "budget_exhausted",
    ]


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_has_its_verdict(refusal: Refusal) -> None:
    assert REFUSED[refusal].refusal is refusal


def test_a_delivery_that_nobody_wanted_otherwise_has_no_refusal() -> None:
    assert DELIVER.refusal is None


def test_a_verdict_cannot_be_changed() -> None:
    verdict = Retry(0.1, "reset")

    with pytest.raises(AttributeError):
        verdict.delay = 0.0  # type: ignore[misc]
