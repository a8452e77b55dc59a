"""The order of a comparison: each figure of one proxy after the other, and again, so that noise hits all alike.

On a shared host the same instructions can take 1.6 times as long for seconds on end, with no sign of it in any account.
Only proxies that are measured within a second or two of each other can be compared, and only often enough.
"""

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

from loadtest.child import Child
from loadtest.contender import START_WITHIN, Contender, Taken
from loadtest.cores import pinned
from loadtest.figures import Results, Round
from loadtest.plan import SMALL, Plan
from loadtest.repetition import repeated
from loadtest.subjects import BASELINE, Subject


class Audience(Protocol):
    """Whoever watches."""

    def begin(self, what: str) -> None:
        """One of the plan's steps begins."""

    def say(self, line: str) -> None:
        """Something is known."""


def run(plan: Plan, audience: Audience) -> Results:
    """Measure all. Raises contender.BrokenOffError or child.NotStartedError.

    Whatever happens, no process and no file of it remains.
    """
    rounds: dict[str, list[Round]] = {subject.name: [] for subject in plan.subjects}
    with (
        pinned(plan.cores.generator),
        tempfile.TemporaryDirectory(prefix="loadtest-") as scratch,
        Child(
            "upstream",
            [sys.executable, "-m", "loadtest.upstream"],
            core=plan.cores.upstream,
            log=Path(scratch) / "upstream.log",
        ) as upstream,
    ):
        campaign = _Campaign(plan, audience, int(upstream.first_line(START_WITHIN)), Path(scratch))
        for number in range(1, plan.rounds + 1):
            for name, done in campaign.round(number).items():
                rounds[name].append(done)
        if plan.idle_connections:
            # Memory is the same every time: once is enough, and counts to the first round.
            for subject in plan.subjects:
                rounds[subject.name][0].add(campaign.idle(subject))
    return Results(BASELINE, rounds)


class _Campaign:
    """Measures with one upstream on one machine."""

    def __init__(self, plan: Plan, audience: Audience, upstream_port: int, scratch: Path) -> None:
        self._plan = plan
        self._audience = audience
        self._upstream_port = upstream_port
        self._scratch = scratch
        self._title = ""

    def round(self, number: int) -> dict[str, Round]:
        """Start all, take each figure of one after the other, and end all. By subject.

        Those that are not being measured wait, and use nothing worth speaking of.
        """
        self._title = f"round {number}/{self._plan.rounds}"
        with ExitStack() as running:
            contenders = [running.enter_context(self._started(subject, number)) for subject in self._plan.subjects]
            for contender in contenders:
                contender.round.add_memory("rest", contender.rest())
            for workload in self._plan.workloads:
                for contender in contenders:
                    self._measure(contender, workload.name, partial(contender.closed, workload))
                self._tell(contenders, workload.name)
            if SMALL in self._plan.workloads:
                self._at_fixed_rates(contenders)
            for contender in contenders:
                contender.round.add_memory("loaded", contender.rest())
        return {contender.name: contender.round for contender in contenders}

    def idle(self, subject: Subject) -> Round:
        self._audience.begin(f"idle connections of {subject.name}")
        with Contender(self._plan, subject, self._upstream_port, self._scratch / f"idle-{subject.name}") as contender:
            contender.idle()
            return contender.round

    def _started(self, subject: Subject, number: int) -> Contender:
        self._audience.begin(f"{self._title}: start of {subject.name}")
        return Contender(self._plan, subject, self._upstream_port, self._scratch / f"{number}-{subject.name}")

    def _at_fixed_rates(self, contenders: list[Contender]) -> None:
        halves = {contender.name: contender.round.figures["get.rps"] / 2 for contender in contenders}
        for contender in contenders:
            if halves[contender.name]:
                self._measure(contender, "half", partial(contender.open, halves[contender.name]))
        self._tell(contenders, "half")
        if level := halves.get(BASELINE):
            for contender in contenders:
                self._measure(contender, "level", partial(contender.open, level))
            self._tell(contenders, "level")

    def _measure(self, contender: Contender, part: str, take: Callable[[], Taken]) -> None:
        """Take it, again if something disturbed it. Wrong answers count in every try."""
        self._audience.begin(f"{self._title}: {part} of {contender.name}")
        done = repeated(take, contender.scheduled)
        for taken in done.taken:
            contender.round.add_errors(part, taken.errors)
        contender.round.add_load(part, done.best.load)
        contender.round.figures[f"{part}.stretch"] = done.stretch
        if done.best.lateness is not None:
            contender.round.figures[f"{part}.late_ms"] = done.best.lateness * 1e3

    def _tell(self, contenders: list[Contender], part: str) -> None:
        said = [f"{contender.name} {contender.round.said(part)}" for contender in contenders]
        self._audience.say(f"{self._title}, {part}: {', '.join(said)}")
