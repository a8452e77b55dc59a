"""What CI may hold a run to."""

import pytest

from sidecar.simulator.assertion import Assertion
from sidecar.simulator.outcome import Depth, RunOutcome

DEPTH = Depth("ledger", 1.3, 1.5, 0.9, 0.25, 12, ())


def outcome(recovery: float | None = 2.0) -> RunOutcome:
    return RunOutcome(100, 1.0, 0.5, 0.99, recovery, 20.0, 1.15, 1.4, 0.01, 0.2, {}, [DEPTH], (), ())


@pytest.mark.parametrize(
    "text",
    [
        "amplification < 1.2",
        "amplification<=1.15",
        "recovery < 5s",
        "recovery < 2500ms",
        "p99 <= 200ms",
        "after > 98%",
        "during >= 0.5",
        "wasted[ledger] < 30%",
        "longest_queue[ledger] < 13",
    ],
)
def test_what_holds_says_nothing(text: str) -> None:
    assert Assertion.parse(text).failure(outcome()) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("amplification < 1.15", "it was 1.15"),
        ("recovery < 2s", "it was 2s"),
        ("amplification[ledger] < 1.2", "it was 1.3"),
        ("amplification[stock] < 1.2", "stock was never called"),
        ("after > 0.995", "it was 0.99"),
    ],
)
def test_what_does_not_hold_says_its_figure(text: str, said: str) -> None:
    assert said in (Assertion.parse(text).failure(outcome()) or "")


def test_a_fleet_that_never_recovers_is_later_than_any_bound() -> None:
    assert "never" in (Assertion.parse("recovery < 24h").failure(outcome(None)) or "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("amplification", "must be a figure"),
        ("happiness > 1", "happiness is none of"),
        ("recovery < 5", "must be a duration"),
        ("amplification < 1.2s", "is no duration"),
        ("p99[ledger] < 1s", "p99 is none of"),
        ("amplification < 1.2.3", "is no number"),
        ("after < 99", "is a share"),
        ("wasted[ledger] < 5", "is a share"),
    ],
)
def test_what_can_not_be_read_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace(".", r"\.")):
        Assertion.parse(text)
