"""`python -m loadtest harmless`: the command line."""

import json
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import click

from loadtest import machine
from loadtest.files import allow_files
from loadtest.harmless.page import write
from loadtest.harmless.record import record, runs_of
from loadtest.harmless.situation import situations
from loadtest.harmless.stage import Run, run
from loadtest.harmless.subjects import DIRECT, SIDECAR, SUBJECTS, Sidecars, Subject
from loadtest.harmless.table import DISTURBED, grouped, in_brief, report
from loadtest.harmless.verdict import COUNTED, Harm, harms
from loadtest.options import CannotRunError, StoppedError, end_as_by_ctrl_c, executables, names, opened
from loadtest.progress import Watch
from loadtest.storm.stage import FailedError
from loadtest.subjects import MissingError
from loadtest.table import console

KNOWN = situations()
FILES = 16_384  # a batch of 1,000 through four subjects at once holds two for each request


@click.command(context_settings={"show_default": True})
@click.option("--only", callback=partial(names, tuple(KNOWN)), default="all", help=f"Of {','.join(KNOWN)}, or all.")
@click.option("--subject", callback=partial(names, tuple(SUBJECTS)), default="all", help=f"Of {','.join(SUBJECTS)}.")
@click.option(
    "--sidecar",
    "executable",
    metavar="NAME=PATH",
    multiple=True,
    callback=executables,
    help="Another sidecar beside this one: the command of another checkout, under its compiled-in policy.",
)
@click.option(
    "--json", "json_to", type=click.Path(dir_okay=False, allow_dash=True), help="All figures as JSON; - for stdout."
)
@click.option(
    "--docs",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="harmless.md and its pictures go there, under images/.",
)
@click.option(
    "--from",
    "records",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing: tables and page of what --json wrote earlier; may be given several times.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=1, help="Of arrivals and of answers: the same for all subjects."
)
@click.option("--assert", "asserts", is_flag=True, help="Exit 1 if callers of the sidecar notice it, or a run failed.")
@click.option("--counts", is_flag=True, help="Judge success and attempts only: what a busy machine does not change.")
@click.pass_context
def harmless(
    ctx: click.Context,
    *,
    only: tuple[str, ...],
    subject: tuple[str, ...],
    executable: dict[str, Path],
    json_to: str | None,
    docs: Path | None,
    records: tuple[Path, ...],
    seed: int,
    asserts: bool,
    counts: bool,
) -> None:
    """Whether callers of a healthy dependency notice the proxy: direct beside proxied, with the same arrivals.

    Real processes on loopback: a dependency of unlimited capacity, a proxy, callers. Fifteen seconds for each
    situation, ten minutes for all of them; exits 2 when it could not run.
    """
    end_as_by_ctrl_c()
    if docs is not None and find_spec("matplotlib") is None:
        raise CannotRunError("--docs: matplotlib is not installed: pip install -e '.[loadtest]'")
    subjects, versions = _present(subject, executable)
    titles = {name: one.title for name, one in subjects.items()}
    json_file = opened(ctx, json_to) if json_to is not None else None
    failures: list[str] = []
    if records:
        runs = _recorded(records, only, titles)
    else:
        try:
            allow_files(FILES)
        except OSError as error:
            raise CannotRunError(str(error)) from error
        runs, failures = _measured(only, list(subjects.values()), seed)
    found = [harm for group in grouped(runs).values() for harm in harms(group) if not counts or harm.bar in COUNTED]
    if json_to != "-":
        console().print(report(runs, failures, found, titles))
    if json_file is not None:
        document = record(runs, failures, found, versions, machine.facts())
        json.dump(document, json_file, indent=None if json_to == "-" else 1)
        json_file.write("\n")
    if not runs:
        raise CannotRunError("no run could be made")
    if docs is not None:
        try:
            write(docs, runs, found, titles)
        except (OSError, ValueError) as error:
            raise CannotRunError(f"--docs: {error}") from error
        images = docs / "images"
        images.mkdir(exist_ok=True)
        import_module("loadtest.harmless.picture").draw(runs, titles, images)  # half a second to import, and an extra
    if asserts and (failures or any(harm.subject == SIDECAR for harm in found)):
        ctx.exit(1)


def _measured(only: tuple[str, ...], subjects: list[Subject], seed: int) -> tuple[list[Run], list[str]]:
    runs: list[Run] = []
    failures: list[str] = []
    try:
        with Watch(len(only)) as watch:
            watch.say(f"seed {seed}, {len(only)} situations, {', '.join(one.title for one in subjects)}")
            for name in only:
                situation = KNOWN[name]
                watch.begin(f"{name}: {situation.title}")
                try:
                    done = run(situation, subjects, seed, partial(_tell, watch, situation.seconds))
                except FailedError as error:
                    failures.append(f"failed: {error}")
                    watch.say(failures[-1])
                else:
                    runs += done
                    for line in _lines(done, harms(done)):
                        watch.say(line)
    except KeyboardInterrupt as error:
        raise StoppedError("interrupted; nothing is left running") from error
    return runs, failures


def _recorded(records: tuple[Path, ...], only: tuple[str, ...], titles: dict[str, str]) -> list[Run]:
    """What was measured earlier, in the order of situations and subjects; the last record of a pair counts."""
    known: dict[tuple[str, str], Run] = {}
    for path in records:
        try:
            found = runs_of(json.loads(path.read_text(encoding="utf-8")), KNOWN)
        except (ValueError, KeyError, TypeError) as error:
            raise CannotRunError(f"--from: {path}: not a record of these situations: {error!r}") from error
        known.update({(done.situation.name, done.subject): done for done in found})
    named = [*titles, *dict.fromkeys(name for _, name in known if name not in titles and name not in SUBJECTS)]
    titles.update({name: f"sidecar, {name}" for name in named if name not in titles})
    return [known[pair] for pair in product(only, named) if pair in known]


def _present(asked: tuple[str, ...], executables: dict[str, Path]) -> tuple[dict[str, Subject], dict[str, str]]:
    """The subjects that are here, direct first; name → version."""
    if taken := set(executables) & set(SUBJECTS):
        raise click.BadParameter(f"--sidecar: {taken.pop()} is the name of another subject")
    subjects: dict[str, Subject] = {DIRECT: SUBJECTS[DIRECT]}
    versions = {DIRECT: ""}
    named: dict[str, Subject] = {name: Sidecars(name, f"sidecar, {name}", path) for name, path in executables.items()}
    for one in [*(SUBJECTS[name] for name in asked if name != DIRECT), *named.values()]:
        try:
            versions[one.name] = one.version()
        except MissingError as error:
            if len(asked) < len(SUBJECTS):
                raise CannotRunError(str(error)) from error
            click.echo(f"left out: {error}", err=True)
        else:
            subjects[one.name] = one
    return subjects, versions


def _tell(watch: Watch, seconds: float, since: float) -> None:
    watch.remark(f"{max(0.0, since):.0f} of {seconds:.0f} s")


def _lines(runs: list[Run], found: list[Harm]) -> list[str]:
    """A line for each subject that is compared."""
    lines = []
    for done in runs:
        own = ", ".join(in_brief([harm for harm in found if harm.subject == done.subject]))
        late = f" (disturbed: requests left {done.late:.2f} s late)" if done.late > DISTURBED else ""
        if done.subject != DIRECT or late:
            verdict = "" if done.subject == DIRECT else own or "not noticed"
            lines.append(f"{done.situation.name:18} {done.subject:15} {verdict}{late}")
    return lines
