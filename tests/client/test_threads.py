"""The runner of a thread; what calls come to through it is in test_governed."""

from threading import Event, Lock

import pytest

from sidecar.client.call import AttemptOutcome, GovernedCall
from sidecar.client.failure import Failure
from sidecar.client.threads import run_in_thread
from sidecar.engine.destination import Destination
from tests.client.conftest import quick_policy


class Hand:
    """A clock that stands still, so that a back-off is over when its time is waited for."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


def governed(woken: Event) -> GovernedCall[str]:
    return GovernedCall(
        Destination("payments", quick_policy(), lambda: 0.5, 0.0),
        Lock(),
        woken.set,
        number=1,
        now=0.0,
        repeatable_until=float("inf"),
        replayable=True,
        overlapping=False,
    )


def test_what_a_retry_replaces_is_disposed_of_and_what_is_delivered_is_not() -> None:
    woken = Event()
    call = governed(woken)
    disposed: list[str | None] = []

    def make(number: int) -> AttemptOutcome[str]:
        if number == 1:
            return AttemptOutcome(value="bad", failure=Failure(status=503))
        return AttemptOutcome(value="good")

    run_in_thread(call, make, lambda outcome: disposed.append(outcome.value), woken, Hand())

    assert disposed == ["bad"]
    assert call.outcomes[call.delivered].value == "good"


def test_an_interrupt_leaves_nothing_in_flight() -> None:
    woken = Event()
    call = governed(woken)

    def make(number: int) -> AttemptOutcome[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_thread(call, make, lambda _: None, woken, Hand())

    assert call.exchange.destination.limiter.awaited == 0
