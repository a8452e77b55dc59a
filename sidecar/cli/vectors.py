"""`sidecar vectors`: the cases that every client has to pass, and a runner for clients in any language."""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Final

import click

from sidecar.vectors.case import VectorCase, load_cases
from sidecar.vectors.command import BadClient, run_command

_EXIT_FINDINGS: Final = 1
_EXIT_BAD: Final = 2
_LINES_SHOWN: Final = 8
"""Of one case."""


@click.group(help="Check a client in any language against the cases that the sidecar itself passes.")
def vectors() -> None:
    """`sidecar vectors`."""


@vectors.command("list", help="Print the cases, a line each.")
@click.option("--json", "as_json", is_flag=True, help="All of each case, as JSON.")
def list_cases(*, as_json: bool) -> None:
    """`sidecar vectors list`."""
    cases = load_cases()
    if as_json:
        click.echo(json.dumps([asdict(case) for case in cases], indent=1))
        return
    width = max(len(case.name) for case in cases)
    for case in cases:
        click.echo(f"{case.name:<{width}}  {case.sentence}")


@vectors.command("run", help="Start COMMAND once for each case and say what it does otherwise. See docs/client.md.")
@click.option("--only", metavar="CASE", multiple=True, help="Only this case; may be given several times.")
@click.argument("client", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
def run(client: tuple[str, ...], only: tuple[str, ...]) -> None:
    """`sidecar vectors run`. Exit code 0: passed; 1: it does otherwise; 2: it could not be run."""
    cases = load_cases()
    unknown = sorted(set(only) - {case.name for case in cases})
    if unknown:
        _fail(f"--only: must name a case (`sidecar vectors list`), got {unknown[0]!r}")
    chosen = [case for case in cases if not only or case.name in only]
    failed = sum(not _passes(case, client) for case in chosen)
    click.echo(f"{len(chosen) - failed} of {len(chosen)} cases passed")
    sys.exit(_EXIT_FINDINGS if failed else 0)


def _passes(case: VectorCase, client: tuple[str, ...]) -> bool:
    try:
        lines = asyncio.run(run_command(case, client))
    except BadClient as error:
        _fail(f"{client[0]}: {case.name}: {error}")
    except OSError as error:
        _fail(f"{client[0]}: can not be started: {error.strerror or error}")
    click.echo(f"{'FAIL' if lines else 'ok  '}  {case.name}")
    for line in lines[:_LINES_SHOWN]:
        click.echo(f"      {line}")
    if len(lines) > _LINES_SHOWN:
        click.echo(f"      and {len(lines) - _LINES_SHOWN} more")
    if lines:
        click.echo(f"      {case.sentence}")
    return not lines


def _fail(message: str) -> None:
    click.echo(message, err=True)
    sys.exit(_EXIT_BAD)
