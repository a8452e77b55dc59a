"""`sidecar simulate`: what a policy does to a fleet, before it is rolled out."""

import difflib
import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sidecar.cli.ending import give_up
from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.policy.snapshot import from_flags
from sidecar.simulator import report
from sidecar.simulator.assertion import Assertion
from sidecar.simulator.campaign import Contender, chart, compare
from sidecar.simulator.harmless import missed_bars, served
from sidecar.simulator.outcome import RunOutcome
from sidecar.simulator.report import Chart
from sidecar.simulator.scenario import Scenario, load
from sidecar.simulator.shipped import shipped_scenarios
from sidecar.simulator.ungoverned import direct

UNGOVERNED: Final = "ungoverned"
DIRECT: Final = "direct"
UTILISATIONS: Final = "50,60,70,80,90,95"
BLIPS: Final = "1,2,3,5,8,13"
NOWHERE: Final = "http://127.0.0.1:1"
"""The endpoint of every destination of a simulation; it is never called."""

T = TypeVar("T")


def _assertion(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[Assertion, ...]:
    parsed = []
    for value in values:
        try:
            parsed.append(Assertion.parse(value))
        except ValueError as error:
            raise click.BadParameter(f"{error}, got {value!r}", ctx, param) from None
    return tuple(parsed)


def _numbers(least: float, most: float) -> Callable[[click.Context, click.Parameter, str], tuple[float, ...]]:
    def numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
        try:
            found = tuple(sorted({float(word) for word in value.split(",")}))
        except ValueError:
            raise click.BadParameter(f"must be numbers with commas between them, got {value!r}", ctx, param) from None
        if not all(least <= number <= most for number in found):
            raise click.BadParameter(f"must be between {least:g} and {most:g}, got {value!r}", ctx, param)
        return found

    return numbers


@click.command()
@click.argument("scenario_file", metavar="SCENARIO", type=click.Path(path_type=Path))
@click.option(
    "--policy", type=click.Path(path_type=Path), help="The policy. [default: the scenario's, or the baseline]"
)
@click.option(
    "--against",
    metavar="FILE|ungoverned",
    help="Another policy for the same storm; 'ungoverned' is the same retries without budget, breaker and limit.",
)
@click.option(
    "--assert",
    "assertions",
    multiple=True,
    callback=_assertion,
    metavar="'FIGURE < BOUND'",
    help="Exit 1 unless it holds for the policy: 'amplification < 1.2', 'recovery < 5s', 'wasted[payments] < 10%'.",
)
@click.option(
    "--map", "mapped", is_flag=True, help="Also where the fleet recovers, by utilisation and length of the blip."
)
@click.option(
    "--utilisations", default=UTILISATIONS, show_default=True, callback=_numbers(5, 200), help="Percent; rows."
)
@click.option(
    "--blips", default=BLIPS, show_default=True, callback=_numbers(0.1, 600), help="Seconds; columns of the map."
)
@click.option("--seed", type=int, help="Other dice than the scenario's.")
@click.option(
    "--json", "json_to", type=click.Path(dir_okay=False, allow_dash=True), help="Figures as JSON; - is stdout."
)
@click.option("--html", "html_to", type=click.Path(dir_okay=False), help="A page with plots, to look at and to send.")
def simulate(
    *,
    scenario_file: Path,
    policy: Path | None,
    against: str | None,
    assertions: tuple[Assertion, ...],
    mapped: bool,
    utilisations: tuple[float, ...],
    blips: tuple[float, ...],
    seed: int | None,
    json_to: str | None,
    html_to: str | None,
) -> None:
    """Simulate a fleet under a policy, to see whether a blip stays a blip.

    SCENARIO is a file, or the name of one that comes with the program: hang, brownout, chain, lockstep…

    The engine is the one that `sidecar run` runs; pods, services and their troubles are simulated, on virtual time.
    """
    for flag, path in (("--json", json_to), ("--html", html_to)):
        if path is not None and path != "-" and not Path(path).parent.is_dir():
            give_up(None, f"sidecar simulate: {flag}: {Path(path).parent} is not a directory")
    try:
        scenario = load(_found(scenario_file))
        if seed is not None:
            scenario = scenario.reseeded(seed)
        for assertion in assertions:
            if assertion.service is not None and assertion.service not in scenario.services:
                known = ", ".join(scenario.services)
                give_up(None, f"sidecar simulate: --assert {assertion.text}: {assertion.service} is none of {known}")
        contenders = _contenders(scenario, policy, against)
    except InvalidDocument as error:
        give_up(None, str(error))
    outcomes = dict(
        zip(
            (one.name for one in contenders),
            _watched(scenario.name, partial(compare, scenario, contenders)),
            strict=True,
        )
    )
    rows = [percent / 100 for percent in utilisations]
    charts = []
    for contender in contenders if mapped else ():
        if contender.name == DIRECT:
            continue
        cells = _watched(f"the map of {contender.name}", partial(chart, scenario, contender, rows, blips))
        charts.append(Chart(contender, cells, scenario.seconds - scenario.ends))
    first = outcomes[contenders[0].name]
    harms = missed_bars(served(first), served(outcomes[DIRECT])) if scenario.expects_no_harm else None
    if json_to is not None:
        text = json.dumps(report.record(scenario, outcomes, charts, harms), indent=2)
        _write(json_to, text + "\n")
    if html_to is not None:
        _write(html_to, report.page(scenario, outcomes, charts))
    if json_to != "-":
        _print(scenario, outcomes, charts)
    failures = [said for assertion in assertions if (said := assertion.failure(first))]
    failures += [f"expect: harmless: {bar}" for bar in harms or ()]
    for said in failures:
        click.echo(f"does not hold: {said}", err=True)
    sys.exit(1 if failures else 0)


def _found(scenario: Path) -> Path:
    """The file, or the shipped one of that name."""
    if scenario.exists():
        return scenario
    shipped = shipped_scenarios()
    name = scenario.as_posix()
    if name not in shipped and not scenario.suffix:
        close = difflib.get_close_matches(name, shipped, n=1)
        meant = f": did you mean {close[0]}?" if close else ";"
        give_up(
            None,
            f"sidecar simulate: SCENARIO: there is no file {name}, and none is shipped by that name{meant} "
            f"shipped are {', '.join(shipped)}",
        )
    return shipped.get(name, scenario)  # and reading a file that is not there says so


def _contenders(scenario: Scenario, policy: Path | None, against: str | None) -> list[Contender]:
    """The policies to simulate, the one of the scenario first. Raises InvalidDocument."""
    file = policy or scenario.policy
    first = Contender(str(file or "baseline"), _policies(scenario, file))
    contenders = [first]
    if against == UNGOVERNED:
        contenders.append(Contender(UNGOVERNED, first.policies, governed=False))
    elif against is not None:
        contenders.append(Contender(against, _policies(scenario, Path(against))))
    if scenario.expects_no_harm:
        alone = {pair: direct(policy) for pair, policy in first.policies.items()}
        contenders.append(Contender(DIRECT, alone, governed=False))
    return contenders


def _policies(scenario: Scenario, file: Path | None) -> dict[tuple[str, str], DestinationPolicy]:
    """The policy of each service towards each that it calls, resolved as `sidecar run` resolves it."""
    now = datetime.now(UTC)
    return {
        (name, callee): from_flags(name, [f"{callee}={NOWHERE}"], None, file, now).destinations[callee].policy
        for name, one in scenario.services.items()
        for callee in one.calls
    }


def _watched(what: str, run: Callable[[Callable[[float], None]], T]) -> T:
    """Run it with a bar on the terminal, if there is one."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=1.0)
        return run(lambda share: progress.update(task, completed=share))


def _print(scenario: Scenario, outcomes: Mapping[str, RunOutcome], charts: list[Chart]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(f"[bold]{scenario.name}[/bold]")
    console.print(report.fleet_in_words(scenario), style="dim")
    table = Table()
    table.add_column("policy")
    for heading in ("before", "during", "after", "recovery", "amplification", "worst second", "p50", "p99"):
        table.add_column(heading, justify="right")
    for name, one in outcomes.items():
        table.add_row(
            name,
            report.share(one.before),
            report.share(one.during),
            report.share(one.after),
            Text(report.seconds(one.recovery), "bold red" if one.metastable else "green"),
            f"{one.amplification:.2f}",
            f"{one.worst_second:.2f}",
            report.milliseconds(one.p50),
            report.milliseconds(one.p99),
        )
    console.print(table)
    depths = Table()
    for heading in ("service", "policy"):
        depths.add_column(heading)
    for heading in ("attempts per request from outside", "amplification", "wasted work", "longest queue"):
        depths.add_column(heading, justify="right")
    for name, one in outcomes.items():
        for depth in one.depths:
            depths.add_row(
                depth.service,
                name,
                f"{depth.attempts_per_request:.2f}",
                f"{depth.amplification:.2f}",
                f"{depth.wasted:.0%}",
                f"{depth.longest_queue:,}",
            )
    console.print(depths)
    for drawn in charts:
        _print_map(console, drawn)


def _print_map(console: Console, drawn: Chart) -> None:
    columns = sorted({cell.blip for cell in drawn.cells})
    found = {(cell.utilisation, cell.blip): cell.recovery for cell in drawn.cells}
    console.print(f"{drawn.contender.name}: seconds to recovery", markup=False)
    table = Table()
    table.add_column("utilisation", justify="right")
    for blip in columns:
        table.add_column(f"{blip:g} s", justify="right")
    for row in sorted({cell.utilisation for cell in drawn.cells}, reverse=True):
        cells = [found[row, blip] for blip in columns]
        table.add_row(
            f"{row:.0%}",
            *(Text("never", "bold red") if one is None else Text(f"{one:.1f}", "green") for one in cells),
        )
    console.print(table)


def _write(path: str, text: str) -> None:
    try:
        with click.open_file(path, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        give_up(None, f"sidecar simulate: {path}: {error.strerror}")
