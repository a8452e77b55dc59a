"""A picture for each scenario: what clients got and what the dependency was asked, over time. Needs matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from loadtest.storm.figures import SLOT
from loadtest.storm.stage import Run
from loadtest.storm.subjects import SUBJECTS
from loadtest.storm.verdict import SUBJECT

mpl.use("Agg")
COLOURS = {"none": "#888888", "naive": "#d62728", "envoy": "#ff9f1c", "envoy-tuned": "#1f77b4", "sidecar": "#138a36"}


def draw(runs: Sequence[Run], folder: Path) -> Path:
    """All runs of one scenario into one PNG; its path."""
    scenario = runs[0].scenario
    figure = Figure(figsize=(9, 5), dpi=80, layout="constrained")
    answers, attempts = figure.subplots(2, 1, sharex=True)
    for run in runs:
        style = {
            "color": COLOURS[run.subject],
            "linewidth": 2.0 if run.subject == SUBJECT else 1.2,
            "label": SUBJECTS[run.subject].title,
            "zorder": 3 if run.subject == SUBJECT else 2,
        }
        for axes, curve in ((answers, run.figures.goodput), (attempts, run.figures.attempted)):
            axes.plot([(slot + 0.5) * SLOT for slot in range(len(curve))], _smooth(curve), **style)
    answers.set_ylabel("good answers/s")
    attempts.set_ylabel("attempts/s")
    attempts.set_xlabel("seconds")
    for axes in (answers, attempts):
        axes.axvspan(scenario.before, scenario.ends, color="#f4d6d6", zorder=0)
        axes.axhline(scenario.rate, color="black", linewidth=0.6, linestyle=":", zorder=1)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, scenario.seconds + 1)
        axes.grid(visible=True, linewidth=0.3)
    answers.set_title(f"{scenario.name}: {scenario.title}", fontsize=11, loc="left")
    answers.legend(fontsize=8, ncols=3, loc="lower left")
    path = folder / f"{scenario.name}.png"
    figure.savefig(path)
    return path


def _smooth(curve: Sequence[float]) -> list[float]:
    """The mean of each slot and its neighbours: a quarter of a second of chance arrivals is mostly chance."""
    return [sum(part := curve[max(0, at - 1) : at + 2]) / len(part) for at in range(len(curve))]
