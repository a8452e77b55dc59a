"""Read gates and unsent bytes."""

from sidecar.proxy.read_gate import ReadGate


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
    read_gate = ReadGate(pipe)  # type: ignore[arg-type]

    read_gate.hold(ReadGate.PEER)
    read_gate.hold(ReadGate.AHEAD)
    read_gate.hold(ReadGate.AHEAD)
    read_gate.release(ReadGate.AHEAD)
    still = pipe.reading
    read_gate.release(ReadGate.PEER)
    read_gate.release(ReadGate.PEER)

    assert not still
    assert pipe.reading
    assert not read_gate.held
