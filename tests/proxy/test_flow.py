"""Valves."""

from sidecar.proxy.flow import Valve


class Pipe:
    def __init__(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True


def test_reading_goes_on_only_when_the_last_reason_is_gone() -> None:
    pipe = Pipe()
    valve = Valve(pipe)  # type: ignore[arg-type]

    valve.hold(Valve.PEER)
    valve.hold(Valve.AHEAD)
    valve.hold(Valve.AHEAD)
    valve.release(Valve.AHEAD)
    still = pipe.reading
    valve.release(Valve.PEER)
    valve.release(Valve.PEER)

    assert not still
    assert pipe.reading
    assert not valve.held
