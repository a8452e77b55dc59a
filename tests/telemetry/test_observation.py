import pytest

from sidecar.engine.policy import DestinationPolicy
from sidecar.engine.shadow import Difference, Shadow
from sidecar.telemetry.observation import sentence
from tests.telemetry.sources import destination


def shadow() -> Shadow:
    return Shadow(destination("payments"), DestinationPolicy(), lambda: 0.5, 0.0)


def test_one_sentence_says_what_the_policy_would_have_done() -> None:
    observed = shadow()
    for second in range(412):
        observed.count(Difference.RETRY, float(second))
    for _ in range(9):
        observed.refuse(500.0)
    observed.count(Difference.TIMEOUT, 500.0)

    assert sentence("payments", observed, 90000.0 - 4000.0) == (
        "payments is observed: in the last 23 hours the policy would have retried 412 requests, "
        "saved 412, refused 9, given up 1."
    )


@pytest.mark.parametrize(
    ("now", "span"),
    [(10.0, "minute"), (119.0, "minute"), (120.0, "2 minutes"), (7199.0, "119 minutes"), (7200.0, "2 hours")],
)
def test_it_speaks_of_the_time_that_it_knows(now: float, span: str) -> None:
    assert f"in the last {span} the policy" in sentence("payments", shadow(), now)


def test_after_a_day_what_is_older_is_forgotten() -> None:
    observed = shadow()
    observed.count(Difference.RETRY, 10.0)
    observed.count(Difference.RETRY, 90000.0)

    told = sentence("payments", observed, 90000.0)

    assert told.startswith("payments is observed: in the last day the policy would have retried 1 request, saved 1,")


def test_a_retry_counts_as_saved_by_the_share_of_attempts_that_is_answered_well() -> None:
    observed = shadow()
    for _ in range(200):
        observed.attempt_ended(well=False)
    for _ in range(50):
        observed.count(Difference.RETRY, 1.0)

    assert (observed.differences[Difference.RETRY], observed.saved) == (50, 0)
