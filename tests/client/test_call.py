"""A call without its input and output, driven by hand."""

from threading import Lock

from sidecar.client.call import AttemptOutcome, GovernedCall
from sidecar.client.failure import Failure
from sidecar.engine.destination import Destination
from sidecar.engine.verdict import Refusal
from tests.client.conftest import quick_policy


def call_of(told: list[str]) -> GovernedCall[str]:
    return GovernedCall(
        Destination("payments", quick_policy(), lambda: 0.5, 0.0),
        Lock(),
        lambda: told.append("look"),
        number=1,
        now=0.0,
        repeatable_until=float("inf"),
        replayable=True,
        overlapping=True,
    )


def test_what_is_to_be_sent_is_handed_out_once() -> None:
    told: list[str] = []
    call = call_of(told)

    call.begin(0.0)

    assert told
    assert (call.take_to_send(), call.take_to_send()) == ([1], [])


def test_a_failed_attempt_is_kept_until_its_retry_leaves() -> None:
    call = call_of([])
    call.begin(0.0)

    call.on_outcome(1, AttemptOutcome(value="no", failure=Failure(status=503)), 0.1)
    before = call.take_to_call_off()
    call.on_timer(call.timer_at)

    assert (before, call.take_to_call_off()) == ([], [1])
    assert not call.over


def test_the_end_says_which_attempt_counts_and_why_no_other_was_made() -> None:
    call = call_of([])
    call.begin(0.0)

    call.on_outcome(1, AttemptOutcome(failure=Failure(status=503, retry_after=99.0)), 0.1)

    assert call.over
    assert (call.delivered, call.refusal) == (1, Refusal.RETRY_AFTER_TOO_LONG)


def test_an_outcome_has_a_label_for_observers() -> None:
    labels = [
        AttemptOutcome(value=1).label,
        AttemptOutcome(value=1, status=404).label,
        AttemptOutcome[int](failure=Failure(status=503)).label,
        AttemptOutcome[int](failure=Failure(fault="reset")).label,
    ]

    assert labels == ["success", "404", "503", "reset"]
