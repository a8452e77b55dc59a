"""The troubles of the dependency and their times: the same for both sides."""

from dataclasses import dataclass
from enum import Enum


class ScriptPhase(Enum):
    """The state of the dependency."""

    HEALTHY = "healthy"
    FAILING = "failing"  # 503 at once, without any work
    HANGING = "hanging"  # accepts requests and finishes none


@dataclass(frozen=True, slots=True)
class Scene:
    """One phase and its length in seconds."""

    phase: ScriptPhase
    seconds: float


@dataclass(frozen=True, slots=True)
class Script:
    """The scenes in order, and the sizes that the play depends on. Rates are per second, times in seconds.

    `rate` is about 80 % of what the dependency can do, as a service in production is run. The retries of a caller
    that gives up after `per_try` and asks again then exceed its capacity as long as its queue is longer than
    `per_try`, and the queue stays that long as long as they exceed it.
    """

    scenes: tuple[Scene, ...]
    rate: float = 160.0
    workers: int = 10
    service_seconds: float = 0.05
    backlog: int = 1000
    deadline: float = 3.0
    per_try: float = 1.0
    retries: int = 3
    backoff: float = 0.1

    @property
    def seconds(self) -> float:
        """The seconds for which requests are sent."""
        return sum(scene.seconds for scene in self.scenes)

    @property
    def capacity(self) -> float:
        """Requests per second that the dependency can answer."""
        return self.workers / self.service_seconds

    def begins(self) -> list[float]:
        """The instant at which each scene begins, from the start of the script."""
        instants = [0.0]
        for scene in self.scenes[:-1]:
            instants.append(instants[-1] + scene.seconds)
        return instants

    def number_at(self, at: float) -> int:
        """The number of the scene that is on, `at` seconds after the start; the last one from its beginning on."""
        return max(number for number, begin in enumerate(self.begins()) if begin <= max(at, 0.0))

    def phase_at(self, at: float) -> ScriptPhase:
        """The dependency's phase `at` seconds after the start; the last one from its beginning on."""
        return self.scenes[self.number_at(at)].phase


FULL = Script(
    (
        Scene(ScriptPhase.HEALTHY, 6.0),
        Scene(ScriptPhase.FAILING, 4.0),
        Scene(ScriptPhase.HEALTHY, 5.0),
        Scene(ScriptPhase.HANGING, 5.0),
        Scene(ScriptPhase.HEALTHY, 17.0),
    )
)

FAST = Script(
    (
        Scene(ScriptPhase.HEALTHY, 2.0),
        Scene(ScriptPhase.FAILING, 1.0),
        Scene(ScriptPhase.HEALTHY, 3.0),
        Scene(ScriptPhase.HANGING, 3.0),
        Scene(ScriptPhase.HEALTHY, 5.0),
    )
)
"""For continuous integration: the same two troubles, shorter."""
