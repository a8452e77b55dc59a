"""`sidecar inject`: Kubernetes manifests with the sidecar in their pods, or taken out again."""

import json
import sys
from pathlib import Path
from typing import Final

import click

from sidecar.cli.ending import give_up
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId
from sidecar.inject.manifest import Rewritten, inject_manifest, uninject_manifest
from sidecar.inject.settings import DEFAULTS, InjectionSettings, read_settings, schema

_COMMAND: Final = "sidecar inject"
_STDIN: Final = "-"


@click.command()
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--settings", type=click.Path(path_type=Path), help="The platform's injection.yaml. [default: none]")
@click.option("--uninject", "taken_out", is_flag=True, help="Take the sidecar out again.")
@click.option("--in-place", is_flag=True, help="Write the files over instead of printing them.")
@click.option("--schema", "wants_schema", is_flag=True, help="Print the JSON Schema of injection.yaml, and end.")
def inject(
    *, files: tuple[str, ...], settings: Path | None, taken_out: bool, in_place: bool, wants_schema: bool
) -> None:
    """Add the sidecar to the pods of Kubernetes manifests, YAML or JSON; - is standard input.

    Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs, Pods and Lists of them get one; everything else
    stays as it is, comments and order included. A pod that has one gets it anew. Annotations (sidecar.io/upstreams,
    sidecar.io/env...) say what it is told.

    \b
    sidecar inject deployment.yaml | kubectl apply -f -
    sidecar inject --uninject deployment.yaml
    """  # noqa: D301 - click knows \b by the character
    if wants_schema:
        click.echo(json.dumps(schema(), indent=2))
        return
    if not files:
        raise click.UsageError("say which manifests: FILE... or - for standard input")
    if in_place and _STDIN in files:
        raise click.UsageError("--in-place needs files: standard input can not be written over")
    findings: list[Finding] = []
    chosen = DEFAULTS
    try:
        chosen = DEFAULTS if settings is None else read_settings(settings)
    except InvalidDocument as error:
        findings.extend(error.findings)
    results: dict[str, Rewritten] = {}
    for file in files:
        try:
            content = _content(file)
            results[file] = uninject_manifest(content, _title(file)) if taken_out else _injected(content, file, chosen)
        except OSError as error:
            findings.append(
                Finding(
                    _title(file), None, "", f"can not be read: {error.strerror or error}", rule_id=RuleId.UNREADABLE
                )
            )
        except InvalidDocument as error:
            findings.extend(error.findings)
    if findings:
        give_up(None, str(InvalidDocument(findings)))
    for result in results.values():
        for line in (*result.outcomes, *(f"warning: {warning}" for warning in result.warnings)):
            click.echo(line, err=True)
    if not any(result.outcomes for result in results.values()):
        click.echo("there is no pod in it", err=True)
    if in_place:
        _write(results)
    else:
        sys.stdout.buffer.write(_joined([result.text for result in results.values()]).encode())
        sys.stdout.buffer.flush()


def _injected(content: bytes, file: str, settings: InjectionSettings) -> Rewritten:
    return inject_manifest(content, _title(file), settings)


def _title(file: str) -> str:
    return "standard input" if file == _STDIN else file


def _content(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()


def _joined(texts: list[str]) -> str:
    """Several manifests as one stream of documents."""
    joined = texts[0]
    for text in texts[1:]:
        separated = text.lstrip().startswith(("---", "%"))
        joined += ("" if joined.endswith("\n") else "\n") + ("" if separated else "---\n") + text
    return joined


def _write(results: dict[str, Rewritten]) -> None:
    for file, result in results.items():
        path = Path(file).resolve()
        content = result.text.encode()
        try:
            if path.read_bytes() != content:
                beside = path.with_name(f".{path.name}.sidecar-inject")
                beside.write_bytes(content)
                beside.chmod(path.stat().st_mode & 0o7777)
                beside.replace(path)
        except OSError as error:
            give_up(_COMMAND, f"{file}: can not be written: {error.strerror or error}")
