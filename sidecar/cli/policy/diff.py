"""`sidecar policy diff`: what a reviewer wants to know of a change."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from sidecar.cli.moment import moment
from sidecar.cli.policy.documents import policy_in
from sidecar.governance.diff import Change, Comparison, Effect, compare
from sidecar.governance.finding import Finding
from sidecar.governance.reports import annotation

_COLOURS: Final[Mapping[Effect, str]] = {Effect.LOOSENS: "red", Effect.TIGHTENS: "green", Effect.CHANGES: "yellow"}


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
@click.option("--at", "now", metavar="DATE", callback=moment, help="Compare as of this day or instant. [default: now]")
def diff(*, old: Path, new: Path, form: str, now: datetime) -> None:
    """Say which changes from OLD to NEW loosen the policy and which tighten it, and for which services.

    Exit codes: 0 NEW may replace OLD; 1 it must not, because it loosens something and its version does not rise, or
    because its version falls; 2 one of them can not be read or is no valid policy.
    """
    comparison = compare(policy_in(old, "policy diff"), policy_in(new, "policy diff"), now)
    match form:
        case "json":
            click.echo(_json(comparison))
        case "github":
            for line in _annotations(comparison, str(new)):
                click.echo(line)
        case _:
            _show(comparison, str(new), Console(soft_wrap=True))
    sys.exit(1 if comparison.findings else 0)


def _json(comparison: Comparison) -> str:
    return json.dumps(
        {
            "old_version": comparison.old_version,
            "new_version": comparison.new_version,
            "loosens": comparison.loosens,
            "changes": [{**asdict(change), "effect": change.effect.value} for change in comparison.changes],
            "findings": [asdict(finding) for finding in comparison.findings],
        },
        indent=2,
        ensure_ascii=False,
    )


def _annotations(comparison: Comparison, file: str) -> list[str]:
    lines = [annotation("error", finding) for finding in comparison.findings]
    for change in comparison.changes:
        level = "warning" if change.effect is Effect.LOOSENS else "notice"
        lines.append(annotation(level, change_finding(change, file)))
    return lines


def _show(comparison: Comparison, file: str, console: Console) -> None:
    console.print(
        Text.assemble((file, "bold"), f"  version {comparison.old_version} -> {comparison.new_version}"),
        highlight=False,
    )
    width = max((len(change.field) for change in comparison.changes), default=0)
    for effect in Effect:
        for change in comparison.changes:
            if change.effect is effect:
                step = f"{change.before or 'nothing'} -> {change.after or 'nothing'}"
                place = "" if change.line is None else f"  {file}:{change.line}"
                console.print(
                    Text.assemble(
                        (f"{effect.value:<9}", f"bold {_COLOURS[effect]}"),
                        f"{change.field:<{width}}  {step}",
                        (f"  {change.whom}{place}", "dim"),
                    ),
                    highlight=False,
                )
    if not comparison.changes:
        console.print("no difference")
    for finding in comparison.findings:
        console.print(Text(str(finding), style="bold red"), highlight=False)


def change_finding(change: Change, file: str) -> Finding:
    """A change as a finding, for tools that show those."""
    text = f"{change.effect.value}: {change.before or 'nothing'} -> {change.after or 'nothing'}, for {change.whom}"
    return Finding(file, change.line, change.field, text)
