"""`sidecar gate OPENAPI...`: what a pull request that changes an API has to pass."""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from sidecar.cli.ending import give_up
from sidecar.cli.gate.rules import rules_in
from sidecar.cli.moment import moment
from sidecar.cli.policy.judgement import show
from sidecar.governance.documents.finding import Finding
from sidecar.governance.review.check import Candidate, DocumentKind, Judged, Judgement
from sidecar.governance.review.reports import FORMATS, ReportTool
from sidecar.review.catalogue import KINDS
from sidecar.review.judge import Bench, JudgedDescription
from sidecar.review.references import Library
from sidecar.review.repository import (
    NoBaseline,
    Repository,
    descriptions_within,
    read_file,
    shown_path,
    working_library,
)
from sidecar.review.routes import route_table

TOOL: Final = ReportTool("sidecar gate", KINDS)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="OPENAPI...", type=click.Path(path_type=Path))
@click.option(
    "--rules",
    "rules_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The rules. [default: config/gate.yaml, else the ones that are built in]",
)
@click.option(
    "--baseline",
    metavar="REF|FILE",
    help="Find only what is new since this commit or file, and what became weaker.",
)
@click.option(
    "--format", "form", type=click.Choice(["text", *FORMATS]), default="text", show_default=True, help="Of the report."
)
@click.option(
    "--emit-routes",
    "routes_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="Write the route table for ingress here (- is standard output), if nothing is wrong.",
)
@click.option("--at", "now", metavar="DATE", callback=moment, help="Judge as of this day or instant. [default: now]")
def check(
    *,
    files: tuple[Path, ...],
    rules_file: Path | None,
    baseline: str | None,
    form: str,
    routes_file: Path | None,
    now: datetime,
) -> None:
    """Judge the descriptions OPENAPI..., and all of them in a directory.

    Exit codes: 0 every operation that must be is proven safe to repeat; 1 findings; 2 something could not be judged: a
    file that can not be read or parsed, a reference that leads nowhere, rules that are not valid.
    """
    rules = rules_in(rules_file)
    paths = list(dict.fromkeys(_paths(files)))
    repository = Repository.around(paths[0].absolute())
    owners = None if repository is None else repository.owners()
    bench = Bench(rules, now, owners, str if repository is None else repository.relative)
    before: list[JudgedDescription | None] = [None] * len(paths)
    if baseline is not None:
        before = list(_baseline(baseline, paths, repository, bench))
    judged = [_judged(bench, path, old) for path, old in zip(paths, before, strict=True)]
    notes = bench.exception_notes(judged) if not any(one.unjudged for one in judged) else []
    judgement = Judgement(
        tuple(Judged(one.file, DocumentKind.DESCRIPTION, _summary(one), rules.file) for one in judged),
        tuple(finding for one in judged for finding in (*one.unjudged, *one.errors)),
        tuple(note for one in judged for note in one.notes) + tuple(note.finding for note in notes),
    )
    unjudged = any(one.unjudged for one in judged)
    refused = unjudged or bool(judgement.findings)
    to_stdout = routes_file is not None and str(routes_file) == "-"
    if form == "text":
        console = Console(soft_wrap=True, stderr=to_stdout)
        show(judgement, [_candidate(finding) for finding in _with_source(judgement)], console)
    elif not to_stdout:
        click.echo(FORMATS[form](judgement, TOOL), nl=False)
    if routes_file is not None and not refused:
        _write_routes(routes_file, route_table(judged))
    sys.exit(2 if unjudged else 1 if judgement.findings else 0)


def _paths(files: Sequence[Path]) -> Iterator[Path]:
    for file in files:
        if not file.is_dir():
            yield file
            continue
        found = list(descriptions_within(file))
        if not found:
            give_up("sidecar gate", f"{file}: there is no OpenAPI, Swagger or AsyncAPI document in this directory")
        yield from found


def _judged(bench: Bench, path: Path, before: JudgedDescription | None) -> JudgedDescription:
    return _judged_in(bench, working_library(), str(path.absolute()), before)


def _judged_in(bench: Bench, library: Library, path: str, before: JudgedDescription | None) -> JudgedDescription:
    try:
        return bench.judge(library, path, before)
    except OSError as error:
        name = shown_path(path)
        finding = Finding(name, None, "", f"can not be read: {error.strerror or error}", rule_id="unresolved")
        return JudgedDescription(name, unjudged=[finding])


def _baseline(
    baseline: str, paths: Sequence[Path], repository: Repository | None, bench: Bench
) -> Iterator[JudgedDescription | None]:
    """The earlier version of each description; one that was not there is empty, and all of it is new."""
    file = Path(baseline)
    if file.is_file():
        if len(paths) > 1:
            give_up("sidecar gate", "--baseline FILE goes with one description; name a commit for several")
        yield _believed(_judged_in(bench, working_library(), str(file.absolute()), None))
        return
    if repository is None:
        give_up("sidecar gate", f"--baseline {baseline}: there is no such file, and {paths[0]} is in no git repository")
    try:
        commit = repository.commit(baseline)
        for path in paths:
            place = str(path.absolute())
            if not repository.has(commit, place):
                yield JudgedDescription(shown_path(place))
            else:
                yield _believed(_judged_in(bench, repository.library(commit, baseline), place, None))
    except NoBaseline as error:
        give_up("sidecar gate", f"--baseline {baseline}: {error}")


def _believed(before: JudgedDescription) -> JudgedDescription:
    if before.unjudged:
        lines = "\n".join(str(finding) for finding in before.unjudged)
        give_up("sidecar gate", f"the baseline can not be judged:\n{lines}")
    return before


def _summary(judged: JudgedDescription) -> str:
    sensitive = judged.sensitive
    proven = sum(not one.lacking for one in sensitive)
    files = "" if judged.files == 1 else f" in {judged.files} files"
    operations = f"{len(judged.operations)} operation{'' if len(judged.operations) == 1 else 's'}"
    return f"{judged.dialect}{files}, {operations}, {len(sensitive)} of them sensitive, {proven} proven safe to repeat"


def _with_source(judgement: Judgement) -> list[str]:
    """The files whose lines are shown: those with findings."""
    return list(dict.fromkeys(finding.file for finding in (*judgement.findings, *judgement.notes)))


def _candidate(file: str) -> Candidate:
    try:
        return Candidate(file, read_file(file))
    except OSError:
        return Candidate(file, b"")


def _write_routes(file: Path, table: str) -> None:
    if str(file) == "-":
        click.echo(table, nl=False)
        return
    try:
        file.write_text(table, encoding="utf-8")
    except OSError as error:
        give_up("sidecar gate", f"{file}: can not be written: {error.strerror or error}")
