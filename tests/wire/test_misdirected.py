"""Requests that go nowhere."""

from sidecar.wire.misdirected import Misdirected


def test_its_sentence_is_that_of_its_answer() -> None:
    error = Misdirected(502, "unlisted", "no destination has the host x")

    assert str(error) == error.detail == "no destination has the host x"
