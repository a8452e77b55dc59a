"""`sidecar policy check`: what a pull request has to pass."""

import sys
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console

from sidecar.cli.moment import moment
from sidecar.cli.policy.documents import documents_within
from sidecar.cli.policy.judgement import show
from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES
from sidecar.governance.review.check import Candidate, DocumentKind, judge
from sidecar.governance.review.reports import FORMATS


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["text", *FORMATS]), default="text", show_default=True, help="Of the report."
)
@click.option("--at", "now", metavar="DATE", callback=moment, help="Judge as of this day or instant. [default: now]")
def check(*, files: tuple[Path, ...], form: str, now: datetime) -> None:
    """Judge policies and sidecar files, and all of them in a directory.

    A sidecar file's overrides are judged by the policy it names if that is here, else by the only policy among FILE...

    Exit codes: 0 nothing is wrong; 1 findings; 2 a file can not be read, or there is nothing to judge.
    """
    candidates, lacking = _read(files)
    judgement = judge(candidates, _content, now)
    if (
        not lacking
        and all(judged.kind is DocumentKind.OTHER for judged in judgement.documents)
        and not judgement.findings
    ):
        lacking.append("there is neither a policy nor a sidecar file to judge")
    if form == "text":
        show(judgement, candidates, Console(soft_wrap=True))
    else:
        click.echo(FORMATS[form](judgement), nl=False)
    for line in lacking:
        click.echo(f"sidecar policy check: {line}", err=True)
    sys.exit(2 if lacking else 1 if judgement.findings else 0)


def _read(files: tuple[Path, ...]) -> tuple[list[Candidate], list[str]]:
    """The files to be judged, each once, and a line for each that can not be read."""
    candidates: dict[Path, Candidate] = {}
    lacking = []
    for file in files:
        found = list(documents_within(file)) if file.is_dir() else [file]
        if not found:
            lacking.append(f"{file}: there is no .yaml or .yml file in this directory")
        for path in found:
            try:
                content = _bytes(path)
            except OSError as error:
                lacking.append(f"{path}: can not be read: {error.strerror or error}")
            else:
                candidates.setdefault(path.resolve(), Candidate(str(path), content, named=path is file))
    return list(candidates.values()), lacking


def _content(file: Path) -> bytes | None:
    try:
        return _bytes(file)
    except OSError:
        return None


def _bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(SIZE_CEILING_BYTES + 1)
