"""`sidecar doctor`: what keeps a sidecar from doing its work here, with the cure of each."""

import json
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from sidecar import __version__
from sidecar.cli.boot_options import boot_options, boot_source, log_options
from sidecar.cli.ending import give_up
from sidecar.doctor.diagnosis import Check, Diagnosis, Mark
from sidecar.doctor.examination import UNSEEN, Subject, Unexaminable, examine, worst
from sidecar.watch.printable import printable

_COMMAND: Final = "sidecar doctor"
_WORDS: Final = {
    Mark.FINE: ("ok", "green"),
    Mark.NOTE: ("note", "yellow"),
    Mark.UNJUDGED: ("?", "cyan"),
    Mark.TROUBLE: ("WRONG", "bold red"),
}
_INDENT: Final = " " * 23


@click.command()
@boot_options
@log_options
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 60.0),
    default=3.0,
    show_default=True,
    help="Seconds for each connection; all are tried side by side.",
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def doctor(
    context: click.Context,
    *,
    config: Path | None,
    config_optional: bool,
    authority: Path | None,
    strict: bool,
    log_format: str | None,
    log_level: str,
    timeout: float,
    as_json: bool,
) -> None:
    """Say what is wrong with a sidecar here, why it matters, and its cure, given what `sidecar run` is given.

    Configuration, policy, ports, names and connections and certificates of all that is called, clock, permissions,
    interception, and the sidecar that runs, if one does. Nothing is changed, no port is listened on, and the only
    request that is sent to others is `OPTIONS *`, for the Date of the answer.

    Exit codes: 0 nothing is wrong (notes may be there); 1 findings; 2 the configuration can not be read.
    """
    del strict, log_format, log_level
    boot = boot_source(context, config, optional=config_optional)
    pod = os.environ.get("POD_NAME") or os.environ.get("HOSTNAME") or socket.gethostname()
    try:
        diagnoses = examine(Subject(boot, authority, pod), timeout, datetime.now(UTC))
    except Unexaminable as error:
        give_up(_COMMAND, str(error))
    code = worst(diagnoses)
    if as_json:
        told = [{name: value for name, value in asdict(each).items() if value} for each in diagnoses]
        click.echo(json.dumps({"version": __version__, "exit_code": code, "checks": told}, indent=2))
    else:
        _show(diagnoses, Console(highlight=False, soft_wrap=True))
    sys.exit(code)


def _show(diagnoses: Sequence[Diagnosis], console: Console) -> None:
    order = list(Check)
    unseen = [each for each in diagnoses if each.what == UNSEEN]
    for each in sorted(diagnoses, key=lambda diagnosis: order.index(diagnosis.check)):
        if each in unseen:
            continue
        mark, style = _WORDS[each.mark]
        word = f"{each.word}: " if each.word else ""
        console.print(Text.assemble((f"{mark:>5}  ", style), f"{each.check:14}  ", (word, style), printable(each.what)))
        if each.why:
            console.print(Text.assemble(_INDENT, ("why   ", "dim"), printable(each.why)))
        if each.cure:
            console.print(Text.assemble(_INDENT, ("cure  ", "dim"), printable(each.cure)))
    if unseen:
        console.print(Text.assemble(("    ?  ", "cyan"), f"{UNSEEN}: {', '.join(each.check for each in unseen)}"))
    counts = {mark: sum(each.mark is mark for each in diagnoses) for mark in Mark}
    parts = [_count(counts[Mark.TROUBLE], "finding"), _count(counts[Mark.NOTE], "note")]
    if counts[Mark.UNJUDGED]:
        parts.append(f"{counts[Mark.UNJUDGED]} not judged")
    console.print(", ".join(parts))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
