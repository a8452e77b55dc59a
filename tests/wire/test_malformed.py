"""Bytes that are refused."""

from sidecar.wire.malformed import REASONS, Malformed


def test_a_refusal_carries_status_reason_and_a_sentence() -> None:
    error = Malformed(400, "host", "no Host")

    assert (error.status, error.reason, str(error)) == (400, "host", "no Host")


def test_reasons_are_fit_to_be_labels() -> None:
    assert len(set(REASONS)) == len(REASONS)
    assert all(reason.replace("_", "").isalpha() and reason.islower() for reason in REASONS)
