"""All situations in one picture, for light and for dark pages: success and p99 beside direct. Needs matplotlib."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from loadtest.harmless.stage import Run
from loadtest.harmless.subjects import DIRECT, SIDECAR
from loadtest.harmless.table import grouped
from sidecar.simulator.harmless import P99_FACTOR, P99_SECONDS

mpl.use("Agg")
COLOURS = {"envoy": "#ff9f1c", "envoy-adaptive": "#3b8fd4", SIDECAR: "#1ea34a"}
MARKERS = {"envoy": "s", "envoy-adaptive": "^", SIDECAR: "o"}
OTHER_COLOUR, OTHER_MARKER = "#d62728", "x"
MOST = 100.0  # times the p99 of direct; more is drawn there
SQUARE_INCHES = 0.21  # of height for a situation


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of one kind of page."""

    name: str
    paper: str
    ink: str
    grid: str
    good: str


THEMES = (
    Theme("light", "#ffffff", "#1f2328", "#d0d7de", "#e7f5ea"),
    Theme("dark", "#0d1117", "#e6edf3", "#30363d", "#12261a"),
)


def draw(runs: Sequence[Run], titles: Mapping[str, str], folder: Path) -> list[Path]:
    """One PNG for each theme; their paths."""
    return [_drawn(runs, titles, folder, theme) for theme in THEMES]


def success(run: Run) -> float:
    """Percent, of the kind of request that fared worst."""
    return min(one.success for one in run.figures) * 100


def stretch(run: Run, direct: Run) -> float:
    """How many times the p99 of direct, of the kind that fared worst; 1 up to what chance explains."""
    worst = 1.0
    for own, other in zip(run.figures, direct.figures, strict=True):
        if other.p99 is not None and own.p99 is not None and own.p99 > P99_SECONDS + other.p99:
            worst = max(worst, own.p99 / other.p99)
    return min(worst, MOST)


def _drawn(runs: Sequence[Run], titles: Mapping[str, str], folder: Path, theme: Theme) -> Path:
    groups = [group for group in grouped(runs).values() if any(run.subject == DIRECT for run in group)]
    figure = Figure(
        figsize=(10, 1.2 + SQUARE_INCHES * len(groups)), dpi=100, layout="constrained", facecolor=theme.paper
    )
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(groups))
    subjects = [name for name in titles if name != DIRECT and any(run.subject == name for run in runs)]
    for name in sorted(subjects, key=lambda one: one == SIDECAR):
        style: dict[str, Any] = {
            "color": COLOURS.get(name, OTHER_COLOUR),
            "marker": MARKERS.get(name, OTHER_MARKER),
            "s": 42 if name == SIDECAR else 26,
            "label": titles[name],
            "zorder": 4 if name == SIDECAR else 3,
        }
        pairs = [
            (place, run, next(one for one in groups[place] if one.subject == DIRECT))
            for place in places
            for run in groups[place]
            if run.subject == name
        ]
        rows = [place for place, _, _ in pairs]
        left.scatter([success(run) for _, run, _ in pairs], rows, **style)
        right.scatter([stretch(run, direct) for _, run, direct in pairs], rows, **style)
    direct = [next(one for one in group if one.subject == DIRECT) for group in groups]
    left.scatter([success(run) for run in direct], places, marker="|", s=60, color=theme.ink, label="direct", zorder=2)
    left.set_xlim(-3, 103)
    left.set_xlabel("answered well, %")
    right.set_xscale("log")
    right.set_xlim(0.9, MOST * 1.2)
    right.axvspan(0.9, P99_FACTOR, color=theme.good, zorder=0)
    right.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "≥ 100"])
    right.set_xlabel("p99, times that of direct")
    left.set_yticks(list(places), [group[0].situation.name for group in groups])
    left.set_ylim(len(groups) - 0.4, -0.6)
    for axes in (left, right):
        axes.set_facecolor(theme.paper)
        axes.grid(visible=True, color=theme.grid, linewidth=0.5)
        axes.tick_params(colors=theme.ink, labelsize=8)
        axes.minorticks_off()
        axes.xaxis.label.set_color(theme.ink)
        for spine in axes.spines.values():
            spine.set_color(theme.grid)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, fontsize=8, frameon=False, labelcolor=theme.ink)
    path = folder / f"harmless-{theme.name}.png"
    figure.savefig(path, facecolor=theme.paper)
    return path
