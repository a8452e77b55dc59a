"""Several runs side by side, one process for each core: one scenario under several policies, or a map of many."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from queue import Empty, Queue
from typing import Final

from sidecar.engine.policy import DestinationPolicy
from sidecar.simulator.fleet import Fleet
from sidecar.simulator.outcome import RunOutcome, outcome
from sidecar.simulator.scenario import Scenario

LOOK: Final = 0.2
"""Seconds between two looks at how far the runs are."""
MAP_REQUESTS: Final = 20_000
"""Requests of each run of a map: enough for the shape, few enough for a hundred of them."""


@dataclass(frozen=True, slots=True)
class Contender:
    """The policies of every caller towards every callee, under one name. Not `governed`: nothing holds retries back."""

    name: str
    policies: dict[tuple[str, str], DestinationPolicy]
    governed: bool = True


@dataclass(frozen=True, slots=True)
class Cell:
    """One place of the metastability map: a utilisation, a blip of so many seconds, the recovery from it or None."""

    utilisation: float
    blip: float
    recovery: float | None


def compare(scenario: Scenario, contenders: Sequence[Contender], words: Callable[[float], None]) -> list[RunOutcome]:
    """The scenario under each, in their order. `words` hears how far all of it is, as a share."""
    if len(contenders) == 1 or _cores() == 1:
        return [
            _run(scenario, contender, partial(_share_of, words, turn, len(contenders)))
            for turn, contender in enumerate(contenders)
        ]
    context = multiprocessing.get_context("forkserver")
    with context.Manager() as manager, ProcessPoolExecutor(_cores(), context) as pool:
        heard = manager.Queue()
        runs = [pool.submit(_told, scenario, contender, turn, heard) for turn, contender in enumerate(contenders)]
        shares = [0.0] * len(contenders)
        while not all(run.done() for run in runs):
            wait(runs, LOOK, FIRST_COMPLETED)
            while True:
                try:
                    turn, share = heard.get_nowait()
                except Empty:
                    break
                shares[turn] = share
            words(sum(shares) / len(shares))
        return [run.result() for run in runs]


def chart(
    scenario: Scenario,
    contender: Contender,
    utilisations: Sequence[float],
    blips: Sequence[float],
    words: Callable[[float], None],
) -> list[Cell]:
    """A map of recovery: the scenario in small at every place, and whether the outage ends with its cause there."""
    places = [(utilisation, blip) for utilisation in utilisations for blip in blips]
    small = scenario.shrunk(MAP_REQUESTS)
    cells = []
    with ProcessPoolExecutor(_cores(), multiprocessing.get_context("forkserver")) as pool:
        runs: dict[Future[RunOutcome], tuple[float, float]] = {
            pool.submit(_run, small.at(utilisation, blip), contender): (utilisation, blip)
            for utilisation, blip in places
        }
        for count, run in enumerate(_as_done(runs), start=1):
            cells.append(Cell(*runs[run], run.result().recovery))
            words(count / len(places))
    return sorted(cells, key=lambda cell: (cell.utilisation, cell.blip))


def _as_done(runs: dict[Future[RunOutcome], tuple[float, float]]) -> Iterator[Future[RunOutcome]]:
    left = set(runs)
    while left:
        done, left = wait(left, return_when=FIRST_COMPLETED)
        yield from done


def _share_of(words: Callable[[float], None], turn: int, turns: int, share: float) -> None:
    words((turn + share) / turns)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _told(scenario: Scenario, contender: Contender, turn: int, heard: "Queue[tuple[int, float]]") -> RunOutcome:
    return _run(scenario, contender, lambda share: heard.put((turn, share)))


def _run(scenario: Scenario, contender: Contender, words: Callable[[float], None] | None = None) -> RunOutcome:
    policies = contender.policies
    fleet = Fleet(scenario, lambda one, other: policies[one, other], governed=contender.governed, words=words)
    return outcome(fleet.run())
