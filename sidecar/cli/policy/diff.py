"""`sidecar policy diff`: what a reviewer wants to know of a change."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from msgspec.structs import asdict
from rich.console import Console
from rich.text import Text

from sidecar.cli.moment import moment
from sidecar.cli.policy.documents import policy_in, sidecar_files
from sidecar.governance.documents.finding import Finding
from sidecar.governance.review.diff import Change, Comparison, Effect, compare
from sidecar.governance.review.effective import ServiceEffect, effects
from sidecar.governance.review.reports import annotation

_COLOURS: Final[Mapping[Effect, str]] = {Effect.LOOSENS: "red", Effect.TIGHTENS: "green", Effect.CHANGES: "yellow"}


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A service's sidecar file, or a directory of them: say what each service gets. May be repeated.",
)
@click.option("--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True)
@click.option("--at", "now", metavar="DATE", callback=moment, help="Compare as of this day or instant. [default: now]")
def diff(*, old: Path, new: Path, configs: tuple[Path, ...], form: str, now: datetime) -> None:
    """Say which changes from OLD to NEW loosen the policy and which tighten it, and for which services.

    With sidecar files it says of each service and destination which number in force becomes which.

    Exit codes: 0 NEW may replace OLD; 1 it must not, because it loosens something and its version does not rise,
    because its version falls, or because one of the services would refuse it; 2 a file can not be read, or is not
    valid by itself.
    """
    before, after = policy_in(old, "policy diff"), policy_in(new, "policy diff")
    comparison = compare(before, after, now)
    services = list(effects(before, after, sidecar_files(configs, "policy diff"), now))
    match form:
        case "json":
            click.echo(_json(comparison, services))
        case "github":
            for line in _annotations(comparison, services, str(new)):
                click.echo(line)
        case _:
            _show(comparison, services, str(new), Console(soft_wrap=True))
    sys.exit(1 if comparison.findings or any(service.refused for service in services) else 0)


def _json(comparison: Comparison, services: Sequence[ServiceEffect]) -> str:
    return json.dumps(
        {
            "old_version": comparison.old_version,
            "new_version": comparison.new_version,
            "loosens": comparison.loosens,
            "changes": [{**asdict(change), "effect": change.effect.value} for change in comparison.changes],
            "findings": [asdict(finding) for finding in comparison.findings],
            "services": [
                {
                    **asdict(service),
                    "changes": [{**asdict(change), "effect": change.effect.value} for change in service.changes],
                }
                for service in services
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def _annotations(comparison: Comparison, services: Sequence[ServiceEffect], file: str) -> list[str]:
    refused = [finding for service in services for finding in service.refused]
    lines = [annotation("error", finding) for finding in (*comparison.findings, *refused)]
    for change in comparison.changes:
        level = "warning" if change.effect is Effect.LOOSENS else "notice"
        lines.append(annotation(level, change_finding(change, file)))
    for service in services:
        for effective in service.changes:
            level = "warning" if effective.effect is Effect.LOOSENS else "notice"
            text = f"{effective.effect.value} in effect: {effective.before} -> {effective.after}"
            field = f"{service.service} {effective.destination} {effective.setting}"
            lines.append(annotation(level, Finding(service.file, None, field, text)))
    return lines


def _show(comparison: Comparison, services: Sequence[ServiceEffect], file: str, console: Console) -> None:
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
    for service in services:
        _show_service(service, console)
    for finding in (*comparison.findings, *(finding for service in services for finding in service.refused)):
        console.print(Text(str(finding), style="bold red"), highlight=False)


def _show_service(service: ServiceEffect, console: Console) -> None:
    if service.refused:
        said = "refuses the new policy" + (", and refused the old one" if service.refused_before else "")
    elif service.refused_before:
        said = "takes the new policy, and refused the old one"
    else:
        said = "" if service.changes else "no number in force changes"
    line = Text.assemble((service.service, "bold"), (f"  {service.file}", "dim"), f"  {said}" if said else "")
    console.print(line, highlight=False)
    rows = [(f"{change.destination} {change.setting}", change) for change in service.changes]
    width = max((len(field) for field, _ in rows), default=0)
    for effect in Effect:
        for field, change in rows:
            if change.effect is effect:
                console.print(
                    Text.assemble(
                        (f"  {effect.value:<9}", f"bold {_COLOURS[effect]}"),
                        f"{field:<{width}}  {change.before} -> {change.after}",
                        (f"  {change.place}", "dim"),
                    ),
                    highlight=False,
                )


def change_finding(change: Change, file: str) -> Finding:
    """A change as a finding, for tools that show those."""
    text = f"{change.effect.value}: {change.before or 'nothing'} -> {change.after or 'nothing'}, for {change.whom}"
    return Finding(file, change.line, change.field, text)
