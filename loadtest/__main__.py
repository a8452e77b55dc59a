"""`python -m loadtest`: the command line."""

import json
import os
from functools import partial
from pathlib import Path

import click

from loadtest import campaign, machine, table, wrk
from loadtest.bars import SUBJECT, Mark, judge
from loadtest.bypass import bypass
from loadtest.child import NotStartedError
from loadtest.clients.command import clients
from loadtest.contender import BrokenOffError
from loadtest.cores import Cores
from loadtest.files import allow_files
from loadtest.harmless.command import harmless
from loadtest.logs import logs
from loadtest.options import CannotRunError, StoppedError, end_as_by_ctrl_c, executables, names, opened
from loadtest.plan import Plan
from loadtest.progress import Watch
from loadtest.record import record
from loadtest.soak.command import soak
from loadtest.storm.command import storm
from loadtest.subjects import BASELINE, SUBJECTS, MissingError
from loadtest.subjects.sidecar import Sidecar
from loadtest.webhook import webhook
from loadtest.workload import DEFAULT_ROWS, WORKLOADS

WARM_UP = 0.3  # seconds
FILES_BESIDE_CONNECTIONS = 200
PROXIES = tuple(SUBJECTS)
ROWS = tuple(WORKLOADS)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure the sidecar beside its peers. Loopback only, bounded in time."""


@main.command(context_settings={"show_default": True})
@click.option(
    "--json",
    "json_to",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="All figures as JSON to this file too; - is standard output, and instead of the table.",
)
@click.option("--seconds", type=click.FloatRange(0.2, 600), default=1.0, help="Of each measurement; wrk rounds up.")
@click.option("--rounds", type=click.IntRange(1, 50), default=5, help="How often each proxy has its turn.")
@click.option("--connections", type=click.IntRange(1, 1000), default=32, help="Keep-alive connections under load.")
@click.option(
    "--idle-connections", type=click.IntRange(0, 10_000), default=1000, help="For the memory they take; 0 for none."
)
@click.option("--only", callback=partial(names, PROXIES), help=f"Of {','.join(PROXIES)}; otherwise all installed.")
@click.option(
    "--sidecar",
    "executable",
    metavar="NAME=PATH",
    multiple=True,
    callback=executables,
    help="Another sidecar in the same run: the command of another checkout, under its compiled-in policy.",
)
@click.option(
    "--rows",
    callback=partial(names, ROWS),
    default=",".join(DEFAULT_ROWS),
    help=f"Of {','.join(ROWS)}, or all. Latency at half of saturation needs get.",
)
@click.option(
    "--generator",
    type=click.Choice(["auto", "own", "wrk"]),
    default="auto",
    help="auto: wrk for small bodies if it is installed. Bodies of 1 MiB and fixed rates always use our own.",
)
@click.option("--assert", "asserts", is_flag=True, help="Exit 1 if a bar is missed or there was a wrong answer.")
@click.pass_context
def cost(
    ctx: click.Context,
    *,
    json_to: str | None,
    seconds: float,
    rounds: int,
    connections: int,
    idle_connections: int,
    only: tuple[str, ...] | None,
    executable: dict[str, Path],
    rows: tuple[str, ...],
    generator: str,
    asserts: bool,
) -> None:
    """What a request costs: processor time, latency, memory and start-up, of each proxy on one core.

    Four minutes as it is, ten on a busy machine: what other processes disturb is measured again. Exits 0 when it ran, 2
    when it could not.
    """
    end_as_by_ctrl_c()
    named = {name: Sidecar(name, path) for name, path in executable.items()}
    if taken := set(named) & set(SUBJECTS):
        raise click.BadParameter(f"--sidecar: {taken.pop()} is the name of another subject")
    subjects = {**SUBJECTS, **named}
    versions = _versions(only) | {name: one.version() for name, one in named.items()}
    if asserts and SUBJECT not in versions:
        raise click.UsageError(f"--assert judges {SUBJECT}, which --only leaves out")
    if generator == "wrk" and not wrk.installed():
        raise CannotRunError("wrk is not installed; --generator own needs nothing")
    try:
        allow_files(2 * max(connections, idle_connections) + FILES_BESIDE_CONNECTIONS)
    except OSError as error:
        raise CannotRunError(str(error)) from error
    plan = Plan(
        subjects=tuple(subjects[name] for name in versions),
        workloads=tuple(WORKLOADS[name] for name in rows),
        rounds=rounds,
        warm_up=WARM_UP,
        seconds=seconds,
        connections=connections,
        idle_connections=idle_connections,
        uses_wrk=generator != "own" and wrk.installed(),
        cores=Cores.share(os.sched_getaffinity(0)),
    )
    facts = machine.facts()
    json_file = opened(ctx, json_to) if json_to is not None else None
    try:
        with Watch(plan.steps) as watch:
            results = campaign.run(plan, watch)
    except (BrokenOffError, NotStartedError) as error:
        raise CannotRunError(str(error)) from error
    except KeyboardInterrupt as error:
        raise StoppedError("interrupted; nothing is left running") from error
    rulings = judge(results)
    if json_to != "-":
        console = table.console()
        titles = {row.name: f"{row.title} (generator: {plan.generator(row)})" for row in plan.workloads}
        console.print(table.report(results, versions, titles, _notes(plan, facts)))
        console.print(table.bars(rulings, BASELINE))
    if json_file is not None:
        json.dump(record(results, rulings, plan, versions, facts), json_file, indent=2)
        json_file.write("\n")
    has_wrong_answers = any(results.errors(SUBJECT, part) for part in results.parts())
    if asserts and (has_wrong_answers or any(ruling.mark is Mark.MISSED for ruling in rulings)):
        ctx.exit(1)


def _versions(only: tuple[str, ...] | None) -> dict[str, str]:
    """Name → version of every subject to be run, in their order."""
    versions = {}
    for name in only or PROXIES:
        try:
            versions[name] = SUBJECTS[name].version()
        except MissingError as error:
            if only is not None or not SUBJECTS[name].is_optional:
                raise CannotRunError(str(error)) from error
            click.echo(f"left out: {error}", err=True)
    return versions


def _notes(plan: Plan, facts: dict[str, str | int]) -> list[str]:
    load = f"{plan.rounds} rounds in turn, {plan.seconds:g} s each after {plan.warm_up:g} s of warm-up"
    return [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['kernel']}, {facts['python']}, {facts['measured_at']}",
        plan.cores.described(),
        f"{load}, {plan.connections} keep-alive connections; cpu time in {facts['cpu_time_resolution']}",
        f"medians over the rounds; ratio: median of the rounds' ratios to {BASELINE}; MB are 10⁶ bytes",
    ]


main.add_command(bypass)
main.add_command(clients)
main.add_command(harmless)
main.add_command(logs)
main.add_command(soak)
main.add_command(storm)
main.add_command(webhook)

if __name__ == "__main__":
    main(prog_name="python -m loadtest")
