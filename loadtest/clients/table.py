"""The runs as a person reads them."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtest.clients.libraries import LIBRARIES
from loadtest.storm.stage import Run
from loadtest.storm.table import COLUMNS, LEGEND, cells

CPU_LEGEND = "cpu ms: processor time of the callers for each request, all that they do"


def report(runs: Sequence[Run], failures: Iterable[str]) -> RenderableType:
    """A table for each scenario."""
    grouped = [list(group) for _, group in groupby(runs, key=lambda run: run.scenario.name)]
    return Group(
        *(_table(group) for group in grouped),
        *(Text(failure, style="bold red") for failure in failures),
        Text("\n".join((*LEGEND, CPU_LEGEND))),
    )


def _table(runs: Sequence[Run]) -> Table:
    scenario = runs[0].scenario
    title = f"{scenario.name}: {scenario.title} ({scenario.rate:g} of {scenario.capacity:g} requests/s)"
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("cpu ms", justify="right", no_wrap=True)
    for run in runs:
        ours = run.subject.startswith("sidecar-")
        cpu = "" if run.cpu is None else f"{run.cpu * 1000:.2f}"
        table.add_row(LIBRARIES[run.subject].title, *cells(run), cpu, style="bold" if ours else "")
    return table
