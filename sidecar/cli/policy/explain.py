"""`sidecar policy explain`: the answer to "why is this number 0.15 here?"."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from sidecar.cli.authority import authority_option
from sidecar.cli.moment import moment
from sidecar.cli.policy.documents import snapshot_of
from sidecar.engine.destination import UNLISTED
from sidecar.governance.documents.document import INGRESS_NAME
from sidecar.governance.documents.finding import near
from sidecar.governance.documents.settings import SETTINGS
from sidecar.governance.policy.resolve import Origin, Source
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.review.explain import (
    WHOSE,
    Explanation,
    explain_call_route,
    explain_destination,
    explain_route,
    explain_settings,
    explain_sidecar,
)

SIDECAR: Final = "sidecar"

_COLOURS: Final[Mapping[Source, str]] = {
    Source.BASELINE: "dim",
    Source.DEFAULT: "",
    Source.PLATFORM: "cyan",
    Source.OVERRIDE: "yellow",
    Source.EXCEPTION: "bold red",
}


@click.command()
@click.argument("destination", required=False)
@click.argument("setting", required=False)
@click.option(
    "--config", type=click.Path(path_type=Path), required=True, help="The service's sidecar file (config/sidecar.yaml)."
)
@click.option("--policy", type=click.Path(path_type=Path), help="A policy to explain by, instead of the one it names.")
@authority_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--at", "now", metavar="DATE", callback=moment, help="Explain as of this day or instant. [default: now]")
def explain(
    *,
    destination: str | None,
    setting: str | None,
    config: Path,
    policy: Path | None,
    authority: Path | None,
    form: str,
    now: datetime,
) -> None:
    """Say of each number where it comes from: built in, default, platform, override or exception, with file and line.

    DESTINATION is one of the sidecar file, one of its routes (`payments.reports`), `ingress` for the way to the service
    itself, `ingress.ROUTE` for the contract of one of its routes, `unlisted` for hosts that none of them names, or
    `sidecar` for what belongs to no destination. With a SETTING, or the beginning of some (`budget`), everything is
    told about it.
    """
    snapshot = snapshot_of(config, policy, authority, now, "policy explain")
    everything = _everything(snapshot)
    if destination is not None and destination not in everything:
        hint = near(destination, everything)
        click.echo(f"sidecar policy explain: {destination}: is none of {', '.join(everything)}{hint}", err=True)
        sys.exit(2)
    chosen = everything if destination is None else {destination: everything[destination]}
    if setting is not None:
        known = {prefix for each in chosen.values() for e in each for prefix in accumulate(e.field.split("."), _dotted)}
        chosen = {name: [e for e in each if f"{e.field}.".startswith(f"{setting}.")] for name, each in chosen.items()}
        if not any(chosen.values()):
            hint = near(setting, known)
            click.echo(f"sidecar policy explain: {setting}: is no setting of {destination}{hint}", err=True)
            sys.exit(2)
    if form == "json":
        click.echo(_json(snapshot, chosen, now))
        return
    console = Console(soft_wrap=True)
    for name, explanations in chosen.items():
        if setting is None:
            _overview(console, snapshot, name, explanations)
        else:
            for explanation in explanations:
                _story(console, name, explanation)


def _dotted(section: str, word: str) -> str:
    return f"{section}.{word}"


def _everything(snapshot: Snapshot) -> dict[str, list[Explanation]]:
    everything = {}
    for name, destination in snapshot.destinations.items():
        everything[name] = list(explain_destination(snapshot, destination))
        for call in destination.routes:
            everything[f"{name}.{call.name}"] = list(explain_call_route(snapshot, call))
    if snapshot.ingress is not None:
        everything[INGRESS_NAME] = list(explain_settings(snapshot, snapshot.ingress.resolution))
        for route in snapshot.ingress.routes:
            if route.contract is not None:
                everything[f"{INGRESS_NAME}.{route.name}"] = list(explain_route(snapshot, route))
    everything[UNLISTED] = list(explain_settings(snapshot, snapshot.documents.platform.defaults))
    everything[SIDECAR] = list(explain_sidecar(snapshot))
    return everything


def _overview(console: Console, snapshot: Snapshot, name: str, explanations: Sequence[Explanation]) -> None:
    console.print(Text.assemble((name, "bold"), f"  of {snapshot.service}, policy version {snapshot.version}"))
    rows = [(e.field, e.origin.value, _whose(e.origin), e.origin.place) for e in explanations]
    widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    for row, explanation in zip(rows, explanations, strict=True):
        field, value, whose, place = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        style = _COLOURS[explanation.origin.source]
        bounds = "" if explanation.guardrail is None else f"  {explanation.guardrail.partition(' (')[0]}"
        line = Text.assemble("  ", field, "  ", (value, style), "  ", (whose, style), "  ", place, (bounds, "dim"))
        line.rstrip()
        console.print(line, highlight=False, soft_wrap=True)
    console.print()


def _story(console: Console, name: str, explanation: Explanation) -> None:
    origin = explanation.origin
    lines: list[Text] = [
        Text.assemble(
            (f"{name} {explanation.field}", "bold"), " is ", (origin.value, f"bold {_COLOURS[origin.source]}")
        ),
        Text(f"    {explanation.meaning}", style="dim"),
    ]
    for step in explanation.steps:
        place = "" if step.origin.source is Source.BASELINE else f", {step.origin.place}"
        lines.append(Text(f"    {step.origin.value}  {WHOSE[step.origin.source]}{place}: {step.outcome}"))
    if explanation.exception is not None:
        lines.append(Text(f"    {explanation.exception}"))
    if explanation.field in SETTINGS:
        lines.append(Text(f"    guardrail: {explanation.guardrail or 'none but the bounds of the engine'}"))
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    console.print()


def _whose(origin: Origin) -> str:
    return origin.source.value if origin.exception is None else f"exception {origin.exception}"


def _json(snapshot: Snapshot, chosen: Mapping[str, Sequence[Explanation]], now: datetime) -> str:
    return json.dumps(
        {
            "service": snapshot.service,
            "version": snapshot.version,
            "at": now.isoformat(),
            "numbers": {
                name: {explanation.field: _entry(explanation) for explanation in explanations}
                for name, explanations in chosen.items()
            },
        },
        indent=2,
        ensure_ascii=False,
    )


def _entry(explanation: Explanation) -> dict[str, object]:
    return {
        **_origin(explanation.origin),
        "exception": explanation.exception,
        "guardrail": explanation.guardrail,
        "meaning": explanation.meaning,
        "steps": [{**_origin(step.origin), "outcome": step.outcome} for step in explanation.steps],
    }


def _origin(origin: Origin) -> dict[str, object]:
    return {"value": origin.value, "source": origin.source.value, "file": origin.file, "line": origin.line}
