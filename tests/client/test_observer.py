"""What an observer hears is tested in test_governed; here, that the protocol is what its page says."""

from sidecar.client.observer import CallObserver


def test_an_observer_hears_of_attempts_of_their_outcomes_and_of_the_end() -> None:
    heard = {name for name in vars(CallObserver) if name.startswith("on_")}

    assert heard == {"on_attempt", "on_outcome", "on_end"}
