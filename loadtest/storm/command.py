"""`python -m loadtest storm`: the command line."""

import json
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby, product
from pathlib import Path

import click

from loadtest import machine
from loadtest.files import allow_files
from loadtest.options import CannotRunError, StoppedError, end_as_by_ctrl_c, names, opened
from loadtest.progress import Watch
from loadtest.storm.record import record, runs_of
from loadtest.storm.scenario import scenarios
from loadtest.storm.stage import FailedError, Run, run
from loadtest.storm.subjects import SUBJECTS
from loadtest.storm.table import report
from loadtest.storm.verdict import shortfalls
from loadtest.subjects import MissingError
from loadtest.table import console

SCENARIOS = scenarios()
FILES = 8192  # a naive client holds one connection for each request that hangs
LATE = 0.1  # seconds


@click.command(context_settings={"show_default": True})
@click.option(
    "--scenario", callback=partial(names, tuple(SCENARIOS)), default="all", help=f"Of {','.join(SCENARIOS)}, or all."
)
@click.option("--subject", callback=partial(names, tuple(SUBJECTS)), default="all", help=f"Of {','.join(SUBJECTS)}.")
@click.option(
    "--json", "json_to", type=click.Path(dir_okay=False, allow_dash=True), help="All figures as JSON; - for stdout."
)
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), help="A PNG for each scenario goes there.")
@click.option(
    "--seconds-scale", type=click.FloatRange(0.1, 10), default=1.0, help="Makes each part of a scenario so much longer."
)
@click.option(
    "--from",
    "records",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing: tables and plots of what --json wrote earlier; may be given several times.",
)
@click.option("--seed", type=click.IntRange(0), default=1, help="Of arrivals and of work: the same for all subjects.")
@click.option("--assert", "asserts", is_flag=True, help="Exit 1 if the sidecar is not the best, or a run failed.")
@click.pass_context
def storm(
    ctx: click.Context,
    *,
    scenario: tuple[str, ...],
    subject: tuple[str, ...],
    json_to: str | None,
    plots: Path | None,
    seconds_scale: float,
    records: tuple[Path, ...],
    seed: int,
    asserts: bool,
) -> None:
    """Whether a blip stays a blip: a dependency in trouble, and what its clients get through each subject.

    Real processes on loopback: a dependency of finite capacity, four proxies, clients that do not wait for each other.
    Half a minute for each scenario and subject, 20 minutes for all; exits 2 when it could not run.
    """
    end_as_by_ctrl_c()
    versions = _versions(subject)
    try:
        allow_files(FILES)
    except OSError as error:
        raise CannotRunError(str(error)) from error
    if plots is not None:
        if find_spec("matplotlib") is None:
            raise CannotRunError("--plots: matplotlib is not installed: pip install -e '.[loadtest]'")
        plots.mkdir(parents=True, exist_ok=True)
    json_file = opened(ctx, json_to) if json_to is not None else None
    if records:
        runs, failures = _recorded(records, scenario, subject), []
    else:
        runs, failures = _measured(scenario, versions, seed, seconds_scale)
    grouped = [list(group) for _, group in groupby(runs, key=lambda done: done.scenario.name)]
    missed = [shortfall for group in grouped for shortfall in shortfalls(group)]
    if plots is not None:
        draw = import_module("loadtest.storm.plots").draw  # half a second to import, and an extra
        for group in grouped:
            draw(group, plots)
    if json_to != "-":
        console().print(report(runs, failures, missed))
    if json_file is not None:
        json.dump(record(runs, failures, missed, versions, machine.facts(), seconds_scale), json_file, indent=1)
        json_file.write("\n")
    if not runs:
        raise CannotRunError("no run could be made")
    if asserts and (missed or failures):
        ctx.exit(1)


def _measured(
    scenario: tuple[str, ...], versions: dict[str, str], seed: int, seconds_scale: float
) -> tuple[list[Run], list[str]]:
    pairs = [(SCENARIOS[name].scaled(seconds_scale), SUBJECTS[who]) for name in scenario for who in versions]
    runs: list[Run] = []
    failures: list[str] = []
    try:
        with Watch(len(pairs)) as watch:
            watch.say(f"seed {seed}, {len(pairs)} runs")
            for play, who in pairs:
                watch.begin(f"{play.name}: {who.title}")
                try:
                    runs.append(run(play, who, seed, seconds_scale, partial(_tell, watch, play.seconds)))
                except FailedError as error:
                    failures.append(f"failed: {error}")
                    watch.say(failures[-1])
                else:
                    watch.say(_line(runs[-1]))
    except KeyboardInterrupt as error:
        raise StoppedError("interrupted; nothing is left running") from error
    return runs, failures


def _recorded(records: tuple[Path, ...], scenario: tuple[str, ...], subject: tuple[str, ...]) -> list[Run]:
    """What was measured earlier, in the order of scenarios and subjects; the last record of a pair counts."""
    known: dict[tuple[str, str], Run] = {}
    for path in records:
        try:
            found = runs_of(json.loads(path.read_text(encoding="utf-8")), SCENARIOS)
        except (ValueError, KeyError, TypeError) as error:
            raise CannotRunError(f"--from: {path}: not a record of these scenarios: {error!r}") from error
        known.update({(done.scenario.name, done.subject): done for done in found})
    return [known[pair] for pair in product(scenario, subject) if pair in known]


def _versions(subjects: tuple[str, ...]) -> dict[str, str]:
    """Name → version of the subjects that are here."""
    versions = {}
    for name in subjects:
        try:
            versions[name] = SUBJECTS[name].version()
        except MissingError as error:
            if len(subjects) < len(SUBJECTS):
                raise CannotRunError(str(error)) from error
            click.echo(f"left out: {error}", err=True)
    return versions


def _tell(watch: Watch, seconds: float, since: float) -> None:
    watch.remark(f"{max(0.0, since):.0f} of {seconds:.0f} s")


def _line(done: Run) -> str:
    figures = done.figures
    recovery = "never recovers" if figures.recovery is None else f"recovers in {figures.recovery:.2f} s"
    during, after = ((share or 0.0) * 100 for share in (figures.during, figures.after))
    line = f"{done.scenario.name:16} {done.subject:12} {during:5.1f} % during, {after:5.1f} % after, {recovery}"
    return line + (f" (disturbed: requests left {done.late:.2f} s late)" if done.late > LATE else "")
