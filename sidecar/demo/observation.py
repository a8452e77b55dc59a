"""The counts received from one side so far: its dependency's and its caller's, by slot."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.demo.counts import Arrivals, Requests
from sidecar.demo.script import ScriptPhase


@dataclass(slots=True)
class Observation:
    """One side. Slot numbers count from the start of the script; see `counts.SLOT`."""

    name: str
    arrivals: dict[int, Arrivals] = field(default_factory=dict)
    requests: dict[int, Requests] = field(default_factory=dict)
    phase: ScriptPhase = ScriptPhase.HEALTHY
    waiting: int = 0  # jobs in the dependency's queue
    running: int = 0  # jobs in its workers' hands
    in_flight: int = 0  # requests whose callers wait
    late: float = 0.0  # the most that a child process was behind its clock, in seconds

    def hear_dependency(self, message: Mapping[str, object]) -> None:
        """Take in a `counts` message of the dependency."""
        for number, row in _rows(message):
            self.arrivals[number] = Arrivals(*row)
        self.phase = ScriptPhase(message["phase"])
        self.waiting = int(str(message["waiting"]))
        self.running = int(str(message["running"]))
        self.late = max(self.late, float(str(message["late"])))

    def hear_traffic(self, message: Mapping[str, object]) -> None:
        """Take in a `counts` message of the caller."""
        for number, row in _rows(message):
            self.requests[number] = Requests(*row)
        self.in_flight = int(str(message["in_flight"]))
        self.late = max(self.late, float(str(message["late"])))


def _rows(message: Mapping[str, object]) -> list[tuple[int, list[int]]]:
    slots = message["slots"]
    if not isinstance(slots, dict):
        raise TypeError(f"slots: must be an object, got {slots!r}")
    return [(int(number), row) for number, row in slots.items()]
