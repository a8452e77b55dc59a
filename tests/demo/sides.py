"""Sides made of scripted counts."""

from sidecar.demo.counts import SLOTS_PER_SECOND, Arrivals, Requests
from sidecar.demo.observation import Observation
from sidecar.demo.script import Scene, Script, ScriptPhase

TROUBLED = Script(
    (Scene(ScriptPhase.HEALTHY, 2.0), Scene(ScriptPhase.HANGING, 2.0), Scene(ScriptPhase.HEALTHY, 6.0)),
    rate=40.0,
    workers=1,
    service_seconds=0.02,
)
"""2 s well, 2 s hang, 6 s watched; the dependency can do 50/s."""


def side(
    success: str, attempts: list[int] | None = None, name: str = "some side", per_second: int = 40, wasted: int = 0
) -> Observation:
    """One character of `success` per second: `+` all succeed, `-` none; `attempts` that arrive per second.

    What arrives beyond the requests issued is repeated.
    """
    observation = Observation(name)
    per_slot = per_second // SLOTS_PER_SECOND
    for second, mark in enumerate(success):
        arrived = per_second if attempts is None else attempts[second]
        for slot in range(second * SLOTS_PER_SECOND, (second + 1) * SLOTS_PER_SECOND):
            good = per_slot if mark == "+" else 0
            observation.requests[slot] = Requests(per_slot, good, good, per_slot - good)
            here = arrived // SLOTS_PER_SECOND
            observation.arrivals[slot] = Arrivals(here, max(0, here - per_slot), served=good, wasted=wasted)
    return observation
