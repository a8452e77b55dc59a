"""The rules that a command of the gate judges by: a file, or the ones that are built in."""

import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

import click

from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES
from sidecar.governance.policy.gate_rules import GateRules, gate_rules

DEFAULT_PLACE: Final = Path("config/gate.yaml")


def rules_in(file: Path | None) -> GateRules:
    """The valid rules in `file`, or in config/gate.yaml, or built in; else the command ends with exit code 2."""
    if file is None and not DEFAULT_PLACE.is_file():
        content, name = files("sidecar.review").joinpath("gate.yaml").read_bytes(), "config/gate.yaml (built in)"
    else:
        path = file or DEFAULT_PLACE
        content, name = _content(path), str(path)
    findings: list[Finding] = []
    try:
        rules = gate_rules(content, name, findings)
    except InvalidDocument as error:
        findings = list(error.findings)
        rules = None
    if findings or rules is None:
        lines = "\n".join(str(finding) for finding in findings)
        click.echo(f"sidecar gate: the rules are not valid:\n{lines}", err=True)
        sys.exit(2)
    return rules


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(SIZE_CEILING_BYTES + 1)
    except OSError as error:
        click.echo(f"sidecar gate: {path}: can not be read: {error.strerror or error}", err=True)
        sys.exit(2)
