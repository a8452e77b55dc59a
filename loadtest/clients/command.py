"""`python -m loadtest clients`: the command line."""

import json
from functools import partial

import click

from loadtest import machine
from loadtest.clients.libraries import LIBRARIES
from loadtest.clients.stage import run
from loadtest.clients.table import report
from loadtest.files import allow_files
from loadtest.options import CannotRunError, StoppedError, end_as_by_ctrl_c, names, opened
from loadtest.progress import Watch
from loadtest.storm.record import record
from loadtest.storm.scenario import scenarios
from loadtest.storm.stage import FailedError, Run
from loadtest.subjects import MissingError
from loadtest.table import console

SCENARIOS = {
    name: scenario for name, scenario in scenarios().items() if scenario.endpoints == scenario.destinations == 1
}
DEFAULT_SCENARIOS = "hang,fast-503,throttling"
FILES = 8192  # a connection for each request that hangs


@click.command(context_settings={"show_default": True})
@click.option(
    "--scenario",
    callback=partial(names, tuple(SCENARIOS)),
    default=DEFAULT_SCENARIOS,
    help=f"Of {','.join(SCENARIOS)}, or all.",
)
@click.option("--library", callback=partial(names, tuple(LIBRARIES)), default="all", help=f"Of {','.join(LIBRARIES)}.")
@click.option(
    "--json", "json_to", type=click.Path(dir_okay=False, allow_dash=True), help="All figures as JSON; - for stdout."
)
@click.option("--seconds-scale", type=click.FloatRange(0.1, 10), default=1.0, help="Makes each part so much longer.")
@click.option("--seed", type=click.IntRange(0), default=1, help="Of arrivals and of work: the same for all libraries.")
@click.pass_context
def clients(
    ctx: click.Context,
    *,
    scenario: tuple[str, ...],
    library: tuple[str, ...],
    json_to: str | None,
    seconds_scale: float,
    seed: int,
) -> None:
    """What an outage becomes when clients retry by themselves: the client library beside others.

    Four processes, each with its share of the requests and one library, before the dependency of `loadtest storm`. Half
    a minute for each scenario and library, 12 minutes as it is; exits 2 when it could not run.
    """
    end_as_by_ctrl_c()
    versions = {}
    for name in library:
        try:
            versions[name] = LIBRARIES[name].version()
        except MissingError as error:
            raise CannotRunError(str(error)) from error
    try:
        allow_files(FILES)
    except OSError as error:
        raise CannotRunError(str(error)) from error
    json_file = opened(ctx, json_to) if json_to is not None else None
    runs, failures = _measured(scenario, library, seed, seconds_scale)
    if json_to != "-":
        console().print(report(runs, failures))
    if json_file is not None:
        document = record(runs, failures, (), versions, machine.facts(), seconds_scale)
        json.dump({**document, "command": "loadtest clients"}, json_file, indent=1)
        json_file.write("\n")
    if not runs:
        raise CannotRunError("no run could be made")


def _measured(
    scenario: tuple[str, ...], library: tuple[str, ...], seed: int, factor: float
) -> tuple[list[Run], list[str]]:
    pairs = [(SCENARIOS[name].scaled(factor), LIBRARIES[who]) for name in scenario for who in library]
    runs: list[Run] = []
    failures: list[str] = []
    try:
        with Watch(len(pairs)) as watch:
            watch.say(f"seed {seed}, {len(pairs)} runs")
            for play, who in pairs:
                watch.begin(f"{play.name}: {who.title}")
                try:
                    runs.append(run(play, who, seed, factor, partial(_tell, watch, play.seconds)))
                except FailedError as error:
                    failures.append(f"failed: {error}")
                    watch.say(failures[-1])
    except KeyboardInterrupt as error:
        raise StoppedError("interrupted; nothing is left running") from error
    return runs, failures


def _tell(watch: Watch, seconds: float, since: float) -> None:
    watch.remark(f"{max(0.0, since):.0f} of {seconds:.0f} s")
