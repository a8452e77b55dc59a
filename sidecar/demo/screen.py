"""The picture while it runs: both sides in one table, and the load on both dependencies over time."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sidecar.demo.counts import SLOTS_PER_SECOND, between
from sidecar.demo.figures import WELL, amplification_by_second, load_by_second, percent, ratio, times
from sidecar.demo.observation import Observation
from sidecar.demo.reading import SideReading
from sidecar.demo.script import Script, ScriptPhase

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = ".:-=+*#@"
COLOUR = {ScriptPhase.HEALTHY: "green", ScriptPhase.FAILING: "yellow", ScriptPhase.HANGING: "red"}
TOLD = {
    ScriptPhase.HEALTHY: "healthy",
    ScriptPhase.FAILING: "failing: answers 503 to everything",
    ScriptPhase.HANGING: "hanging: accepts requests, finishes none",
}
SHORT = {ScriptPhase.HEALTHY: "healthy", ScriptPhase.FAILING: "503s", ScriptPhase.HANGING: "hang"}
NARROW = 62
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Now:
    """One side in its last whole second, and so far."""

    requests: int
    attempts: int
    success: float | None  # of the requests that ended in the last second
    success_so_far: float | None
    load: int  # attempts that arrived in the last second
    amplification: float | None
    worst_amplification: float


def now_of(side: Observation, seconds: float) -> Now:
    """The state of `side`, `seconds` after the start, by the slots that both its processes have surely told whole."""
    end = int(seconds * SLOTS_PER_SECOND) - 2
    last = list(between(side.requests, max(0, end - SLOTS_PER_SECOND), end))
    issued = sum(row.issued for row in last)
    well, badly = sum(row.ended_well for row in last), sum(row.ended_badly for row in last)
    rows = list(between(side.requests, 0, end))
    good, bad = sum(row.ended_well for row in rows), sum(row.ended_badly for row in rows)
    here = list(between(side.arrivals, max(0, end - SLOTS_PER_SECOND), end))
    return Now(
        requests=sum(row.issued for row in rows),
        attempts=sum(row.arrived for row in between(side.arrivals, 0, end)),
        success=ratio(well, well + badly) if well + badly or not issued else 0.0,
        success_so_far=ratio(good, good + bad),
        load=sum(row.arrived for row in here),
        amplification=ratio(issued + sum(row.repeated for row in here), issued),
        worst_amplification=max((worst for _, worst in amplification_by_second(side, end)), default=0.0),
    )


def condition(side: Observation, now: Now, script: Script, seconds: float) -> tuple[str, str]:
    """The condition of the side, in words, and the colour of it."""
    if side.phase is not ScriptPhase.HEALTHY:
        return side.phase.value, COLOUR[side.phase]
    if now.success is None or now.success >= WELL:
        return "well", "green"
    ended = [
        begin + scene.seconds
        for scene, begin in zip(script.scenes, script.begins(), strict=True)
        if scene.phase is not ScriptPhase.HEALTHY and begin + scene.seconds <= seconds
    ]
    if not ended:
        return "unwell", "yellow"
    if now.success >= HALF:
        return "recovering", "yellow"
    return f"still down ({seconds - ended[-1]:.0f} s)", "bold red"


class DemoScreen:
    """Draws frames for one console."""

    def __init__(self, console: Console, script: Script) -> None:
        self._console = console
        self._script = script
        self._bars = BARS if console.encoding.lower().startswith("utf") else PLAIN_BARS

    def frame(
        self, seconds: float, governed: Observation, naive: Observation, reading: SideReading | None
    ) -> RenderableType:
        """The picture `seconds` after the start."""
        return Group(
            self._headline(seconds, governed.phase),
            self._table(seconds, governed, naive, reading),
            self._refused(reading),
            *self._loads(seconds, governed, naive),
        )

    def line(self, seconds: float, governed: Observation, naive: Observation, reading: SideReading | None) -> str:
        """The same as one line, for what is not a terminal."""
        parts = [f"{seconds:4.0f} s {governed.phase.value:8}"]
        for side in (governed, naive):
            now = now_of(side, seconds)
            parts.append(
                f"{side.name} {percent(now.success):>6} ok, amp {times(now.amplification, 2)}, "
                f"{now.load:4d}/s, queue {side.waiting:4d}"
            )
        if reading is not None and reading.breaker is not None:
            parts[1] += f", breaker {reading.breaker}"
        return " | ".join(parts)

    def _headline(self, seconds: float, phase: ScriptPhase) -> Text:
        text = Text(overflow="ellipsis", no_wrap=True)
        text.append(f" {min(seconds, self._script.seconds):4.1f} s of {self._script.seconds:.0f} s  ", style="dim")
        text.append("dependency ", style="bold")
        text.append(TOLD[phase], style=f"bold {COLOUR[phase]}")
        return text

    def _table(self, seconds: float, governed: Observation, naive: Observation, reading: SideReading | None) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        narrow = self._console.width < NARROW
        table.add_column("", no_wrap=True, overflow="ellipsis")
        for side, short in ((governed, "sidecar"), (naive, "naive")):
            table.add_column(short if narrow else side.name, no_wrap=True, overflow="ellipsis", min_width=8)
        sides = (governed, naive)
        nows = [now_of(side, seconds) for side in sides]
        conditions = [condition(side, now, self._script, seconds) for side, now in zip(sides, nows, strict=True)]
        table.add_row("state", *(Text(words, style=colour) for words, colour in conditions))
        table.add_row("success, last second", *(_graded(now.success) for now in nows))
        table.add_row("success, so far", *(percent(now.success_so_far) for now in nows))
        table.add_row("requests", *(str(now.requests) for now in nows))
        table.add_row("attempts arrived", *(str(now.attempts) for now in nows))
        table.add_row("amplification", *(times(now.amplification, 2) for now in nows))
        table.add_row("  worst second", *(f"{now.worst_amplification:.2f}" for now in nows))
        table.add_row("load, of capacity", *(self._of_capacity(now.load) for now in nows))
        table.add_row("queue there", *(str(side.waiting) for side in sides))
        table.add_section()
        heard = reading or SideReading()
        table.add_row("breaker", _said(heard.breaker), Text("none", style="dim"))
        balance = None if heard.balance is None else f"{heard.balance:.1f} retries"
        table.add_row("retry budget", _said(balance), Text("none", style="dim"))
        limit = None if heard.limit is None else f"{heard.in_flight or 0} of {heard.limit:.0f}"
        table.add_row("in flight, limit", _said(limit), Text(f"{naive.in_flight}, no limit", style="dim"))
        return table

    def _refused(self, reading: SideReading | None) -> Text:
        refusals = {} if reading is None else reading.refusals
        words = ", ".join(f"{reason} {count}" for reason, count in refusals.items())
        return Text(f" refused by the sidecar: {words or 'nothing'}", no_wrap=True, overflow="ellipsis")

    def _of_capacity(self, load: int) -> Text:
        share = load / self._script.capacity
        return Text(f"{load}/s, {share * 100:.0f} %", style="bold red" if share > 1 else "")

    def _loads(self, seconds: float, *sides: Observation) -> Iterable[Text]:
        script = self._script
        label = max(len(side.name) for side in sides) + 2
        room = max(8, self._console.width - label - 8)
        count = max(1, int(seconds - 0.5))  # whole seconds that both processes have surely told
        step = -(-round(script.seconds) // room)
        loads = [list(load_by_second(side, count * SLOTS_PER_SECOND))[::SLOTS_PER_SECOND] for side in sides]
        top = max(script.rate * (1 + script.retries), *(max(load, default=0) for load in loads))
        caption = f" attempts arriving per second (red: over its capacity of {script.capacity:.0f}/s)"
        yield Text(caption, style="dim", no_wrap=True, overflow="ellipsis")
        for side, load in zip(sides, loads, strict=True):
            text = Text(f" {side.name:{label}}", no_wrap=True)
            for start in range(0, len(load), step):
                here = max(load[start : start + step])
                bar = self._bars[min(len(self._bars) - 1, int(here / top * len(self._bars)))]
                text.append(bar, style="red" if here > script.capacity else "green")
            yield text
        strip = Text(f" {'dependency':{label}}", no_wrap=True)
        for second in range(0, round(script.seconds), step):
            phase = script.phase_at(second + 0.5)
            strip.append(_letter(script, second, step), style=COLOUR[phase] if second < count else "dim")
        yield strip


def _letter(script: Script, second: int, step: int) -> str:
    number = script.number_at(second + 0.5)
    into = (second - round(script.begins()[number])) // step
    word = "" if script.scenes[number].phase is ScriptPhase.HEALTHY else SHORT[script.scenes[number].phase]
    return word[into] if into < len(word) else "-"


def _graded(share: float | None) -> Text:
    return Text(percent(share), style="" if share is None else "green" if share >= WELL else "bold red")


def _said(words: str | None) -> Text:
    return Text("not told", style="dim") if words is None else Text(words)
