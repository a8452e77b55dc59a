"""The summary at the end: a table, a sentence, and the same as a JSON document."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from sidecar.demo.counts import SLOTS_PER_SECOND, between
from sidecar.demo.figures import TROUBLE, Figures, Recovery, percent, times, verdict
from sidecar.demo.observation import Observation
from sidecar.demo.reading import SideReading
from sidecar.demo.script import Script, ScriptPhase


@dataclass(frozen=True, slots=True)
class Account:
    """Both sides' figures, and what they were computed from."""

    script: Script
    seed: int
    governed: Figures
    naive: Figures
    sides: tuple[Observation, Observation]
    reading: SideReading | None

    def verdict(self) -> str:
        """The outcome in plain words."""
        return verdict(self.governed, self.naive)

    def table(self) -> Table:
        """The figures side by side."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="counted at the dependencies and at the callers")
        table.add_column("")
        for figures in (self.governed, self.naive):
            table.add_column(figures.name, justify="right", min_width=10)
        both = (self.governed, self.naive)
        for number, scene in enumerate(self.script.scenes):
            name = _scene_name(self.script, number)
            table.add_row(
                f"success {name}, {scene.seconds:.0f} s",
                *(percent(figures.scenes[number].success) for figures in both),
            )
        table.add_section()
        table.add_row("attempts per request", *(times(figures.amplification, 2) for figures in both))
        table.add_row("amplification, worst second", *(times(figures.worst_amplification, 2) for figures in both))
        table.add_row("peak load on the dependency", *(f"{figures.peak_load:.0f}/s" for figures in both))
        capacity = self.script.capacity
        table.add_row(
            f"  of its capacity, {capacity:.0f}/s", *(percent(figures.peak_load / capacity) for figures in both)
        )
        table.add_row("wasted work", *(percent(figures.wasted_share) for figures in both))
        table.add_section()
        for ours, theirs in zip(self.governed.recoveries, self.naive.recoveries, strict=True):
            table.add_row(f"recovered from the {TROUBLE[ours.trouble]}", _recovered(ours), _recovered(theirs))
        return table

    def document(self) -> dict[str, object]:
        """Everything as plain values; times in seconds, rates per second, shares between 0 and 1."""
        script = self.script
        return {
            "seed": self.seed,
            "script": {
                "scenes": [{"phase": scene.phase.value, "seconds": scene.seconds} for scene in script.scenes],
                "rate": script.rate,
                "capacity": script.capacity,
                "deadline": script.deadline,
                "naive": {"retries": script.retries, "backoff": script.backoff, "per_try": script.per_try},
            },
            "governed": _plain(self.governed),
            "naive": _plain(self.naive),
            "sidecar": None if self.reading is None else asdict(self.reading),
            "seconds": list(self._seconds()),
            "verdict": self.verdict(),
        }

    def _seconds(self) -> Iterable[dict[str, object]]:
        for second in range(int(self.script.seconds)):
            row: dict[str, object] = {"second": second, "phase": self.script.phase_at(second).value}
            slots = (second * SLOTS_PER_SECOND, (second + 1) * SLOTS_PER_SECOND)
            for key, side in zip(("governed", "naive"), self.sides, strict=True):
                requests, arrivals = list(between(side.requests, *slots)), list(between(side.arrivals, *slots))
                row[key] = {
                    "requests": sum(one.issued for one in requests),
                    "succeeded": sum(one.succeeded for one in requests),
                    "attempts": sum(one.arrived for one in arrivals),
                    "repeated": sum(one.repeated for one in arrivals),
                    "served": sum(one.served for one in arrivals),
                    "wasted": sum(one.wasted for one in arrivals),
                }
            yield row


def _scene_name(script: Script, number: int) -> str:
    phase = script.scenes[number].phase
    if phase is not ScriptPhase.HEALTHY:
        return f"during the {TROUBLE[phase]}"
    if number == 0:
        return "before"
    return "after" if number == len(script.scenes) - 1 else "in between"


def _recovered(recovery: Recovery) -> Text:
    if recovery.seconds is None:
        return Text(f"not in {recovery.watched:.0f} s", style="bold red")
    return Text("at once" if recovery.seconds == 0 else f"{recovery.seconds:g} s", style="green")


def _plain(figures: Figures) -> dict[str, object]:
    return {
        "requests": figures.requests,
        "succeeded": figures.succeeded,
        "success": figures.success,
        "attempts": figures.attempts,
        "amplification": figures.amplification,
        "worst_amplification": figures.worst_amplification,
        "peak_load": figures.peak_load,
        "capacity": figures.capacity,
        "served": figures.served,
        "wasted": figures.wasted,
        "wasted_share": figures.wasted_share,
        "scenes": [
            {
                "phase": scene.phase.value,
                "seconds": scene.seconds,
                "requests": scene.requests,
                "succeeded": scene.succeeded,
                "success": scene.success,
                "attempts": scene.attempts,
                "amplification": scene.amplification,
                "wasted_share": scene.wasted_share,
            }
            for scene in figures.scenes
        ],
        "recoveries": [
            {"trouble": one.trouble.value, "seconds": one.seconds, "watched": one.watched} for one in figures.recoveries
        ],
        "late": figures.late,
    }
