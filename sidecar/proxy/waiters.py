"""The originals that wait for a slot at a destination: woken by whatever makes room."""

from typing import Protocol, cast

from sidecar.engine.destination import Destination
from sidecar.engine.retry import RetryState


class WaitingHost(Protocol):
    """The exchange of a waiting original, which its `RetryState.host` leads to."""

    def on_turn(self, now: float) -> None:
        """A slot was found for it, or it is not to be held any longer: it asks for admission again."""

    def wait_until(self, instant: float) -> None:
        """Its timer is to be due at `instant`."""


def wake_waiters(destination: Destination, now: float) -> None:
    """Give the slots that became free to the originals whose turn it is."""
    while (waiter := destination.next_waiter(now)) is not None:
        _host_of(waiter).on_turn(now)
    if (oldest := destination.next_to_rearm()) is not None:
        _host_of(oldest).wait_until(oldest.wake_at)


def _host_of(waiter: object) -> WaitingHost:
    assert isinstance(waiter, RetryState)
    return cast("WaitingHost", waiter.host)
