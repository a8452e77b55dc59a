"""The runs as a person reads them."""

from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtest.storm.stage import Run
from loadtest.storm.subjects import SUBJECTS
from loadtest.storm.verdict import SUBJECT, Shortfall

COLUMNS = (
    "before %",
    "during %",
    "after %",
    "back s",
    "amplified",
    "worst",
    "waste %",
    "doubled",
    "early",
    "p50 ms",
    "p99 ms",
)

LEGEND = (
    "before, during, after the trouble: requests answered well, by when they were made (in brackets: of the others)",
    "back: seconds until all is well and stays so; amplified: attempts per request, worst: in the worst second",
    "waste: work done for nobody; doubled: POSTs executed twice; early: attempts before their Retry-After",
)


def report(runs: Sequence[Run], failures: Iterable[str], shortfalls: Sequence[Shortfall]) -> RenderableType:
    scenarios: Mapping[str, list[Run]] = _grouped(runs)
    return Group(
        *(_table(group) for group in scenarios.values()),
        *(Text(failure, style="bold red") for failure in failures),
        _judgement(scenarios, shortfalls),
    )


def cells(run: Run) -> list[str]:
    """One row's figures, in the order of COLUMNS."""
    figures = run.figures
    return [
        _percent(figures.before),
        _percent(figures.during) + ("" if figures.spared is None else f" ({_percent(figures.spared)})"),
        _percent(figures.after),
        "never" if figures.recovery is None else f"{figures.recovery:.2f}",
        f"{figures.amplification:.3f}",
        f"{figures.worst_second:.2f}",
        _percent(figures.wasted),
        str(figures.duplicates),
        str(figures.violations),
        _milliseconds(figures.p50),
        _milliseconds(figures.p99),
    ]


def _table(runs: Sequence[Run]) -> Table:
    scenario = runs[0].scenario
    title = f"{scenario.name}: {scenario.title} ({scenario.rate:g} of {scenario.capacity:g} requests/s)"
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for run in runs:
        table.add_row(SUBJECTS[run.subject].title, *cells(run), style="bold" if run.subject == SUBJECT else "")
    return table


def _judgement(scenarios: Mapping[str, list[Run]], shortfalls: Sequence[Shortfall]) -> RenderableType:
    judged = [name for name, runs in scenarios.items() if len(runs) > 1 and any(run.subject == SUBJECT for run in runs)]
    if not judged:
        return Text("")
    missed = {shortfall.scenario for shortfall in shortfalls}
    met = len(judged) - len(missed)
    said = f"at least as good as the best of the others in {met} of {len(judged)} scenarios"
    lines = [*LEGEND, f"in success, back, waste, doubled and early, the sidecar is {said}"]
    lines += [
        f"  {shortfall.scenario}: {shortfall.title} {shortfall.value:.3g}, {shortfall.best} {shortfall.reached:.3g}"
        for shortfall in shortfalls
    ]
    return Text("\n".join(lines))


def _grouped(runs: Iterable[Run]) -> dict[str, list[Run]]:
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        grouped.setdefault(run.scenario.name, []).append(run)
    return grouped


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.0f}"
