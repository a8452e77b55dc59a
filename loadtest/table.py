"""The results as a person reads them."""

from collections.abc import Iterable, Mapping

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from loadtest.bars import Mark, Ruling
from loadtest.figures import QUIET, Results

TITLES = {
    "half": "GET at a fixed rate: half of each one's own saturation",
    "level": "GET at a fixed rate: half of the baseline's saturation, for all",
}
PROCESS = {
    "process.start_s": "start s",
    "process.rest_rss_mb": "RSS at rest MB",
    "process.rest_pss_mb": "PSS at rest MB",
    "process.loaded_rss_mb": "RSS after load MB",
    "process.idle_rss_mb": "idle connections MB",
}
LOAD = {"cpu_us": "cpu µs/request", "rps": "requests/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms"}
SATURATED = 0.9  # share of its core below which a closed loop did not find the proxy's limit
MARKS = {
    Mark.MET: ("✓ met", "green"),
    Mark.MISSED: ("✗ missed", "red"),
    Mark.NOT_MEASURED: ("- not measured", "yellow"),
}


def report(
    results: Results, versions: Mapping[str, str], titles: Mapping[str, str], notes: list[str]
) -> RenderableType:
    """`titles` says what each row of load is; `notes` come first, a line each."""
    loads = [part for part in results.parts() if part != "process"]
    return Group(
        *(Text(note) for note in notes),
        Text(_quiet(results)),
        *(_load_table(results, versions, part, {**titles, **TITLES}[part]) for part in loads),
        _process_table(results, versions),
        *(Text(line, style="bold red") for line in _errors(results)),
    )


def bars(rulings: list[Ruling], baseline: str) -> RenderableType:
    table = Table(title="Bars for the sidecar", title_justify="left", title_style="bold")
    table.add_column("bar")
    for column in ("at most", "measured", "rounds"):
        table.add_column(column, justify="right")
    table.add_column("")
    for ruling in rulings:
        unit = f" x {baseline}" if ruling.bar.is_ratio else ""
        limit = f"{ruling.bar.limit:g}{unit}" + (f" (aim {ruling.bar.aim:g})" if ruling.bar.aim else "")
        mark, style = MARKS[ruling.mark]
        said = f"{mark}: {ruling.reason}" if ruling.reason else mark
        table.add_row(
            ruling.bar.title,
            limit,
            "-" if ruling.value is None else f"{ruling.value:.2f}{unit}",
            f"{min(ruling.rounds):.2f} to {max(ruling.rounds):.2f}" if ruling.rounds else "-",
            Text(said, style),
        )
    return table


def console() -> Console:
    """Standard output, wide enough for a table where there is no terminal to ask."""
    found = Console()
    return found if found.is_terminal else Console(width=140)


def _load_table(results: Results, versions: Mapping[str, str], part: str, title: str) -> Table:
    is_open = f"{part}.late_ms" in results.figures()
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("proxy")
    _add_figures(table, results, LOAD.values())
    table.add_column("generator late ms" if is_open else "core busy", justify="right")
    table.add_column("wrong", justify="right")
    for subject in results.rounds:
        if results.median(subject, f"{part}.rps") is None:
            continue
        cells = [f"{subject} {versions[subject]}"]
        for figure in LOAD:
            cells += _cells(results, subject, f"{part}.{figure}")
        if is_open:
            cells.append(_lateness(results, subject, part))
        else:
            cells.append(_busy(results.median(subject, f"{part}.busy_share")))
        wrong = results.errors(subject, part).total()
        table.add_row(*cells, str(wrong), style="red" if wrong else "")
    return table


def _process_table(results: Results, versions: Mapping[str, str]) -> Table:
    shown = {figure: heading for figure, heading in PROCESS.items() if figure in results.figures()}
    table = Table(title="Process", title_justify="left", title_style="bold")
    table.add_column("proxy")
    _add_figures(table, results, shown.values())
    for subject in results.rounds:
        cells = [f"{subject} {versions[subject]}"]
        for figure in shown:
            cells += _cells(results, subject, figure)
        table.add_row(*cells)
    return table


def _add_figures(table: Table, results: Results, headings: Iterable[str]) -> None:
    for heading in headings:
        table.add_column(heading, justify="right")
        if results.baseline in results.rounds:
            table.add_column("ratio", justify="right", style="dim")


def _cells(results: Results, subject: str, figure: str) -> list[str]:
    value = _number(results.median(subject, figure))
    if results.baseline not in results.rounds:
        return [value]
    ratio = results.ratio(subject, figure)
    return [value, "" if ratio is None else f"{ratio:.2f}"]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _busy(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{share:.0%}" + ("" if share >= SATURATED else " (not its limit)")


def _lateness(results: Results, subject: str, part: str) -> str:
    late, p99 = results.median(subject, f"{part}.late_ms"), results.median(subject, f"{part}.p99_ms")
    if late is None or p99 is None:
        return "-"
    return f"{late:.2f}" + (" (generator's p99)" if late > p99 / 2 else "")


def _quiet(results: Results) -> str:
    stretches = results.stretches()
    disturbed = [stretch for stretch in stretches if stretch > QUIET]
    said = f"{len(disturbed)} of {len(stretches)} measurements were disturbed at each of their tries"
    worst = f", by up to {max(disturbed):.2f} times" if disturbed else ""
    return f"{said}{worst}; they count only where there is no other"


def _errors(results: Results) -> list[str]:
    return [
        f"WRONG ANSWERS: {subject}, {part}: "
        + ", ".join(f"{reason} ({count})" for reason, count in errors.most_common())
        for subject in results.rounds
        for part in results.parts()
        if (errors := results.errors(subject, part))
    ]
