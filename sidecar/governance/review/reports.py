"""Findings in the forms that other tools read: JSON, GitHub annotations, SARIF 2.1.0 (OASIS), JUnit XML."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Final, Protocol
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from msgspec import Struct

from sidecar import __version__
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.rules import RULES
from sidecar.governance.review.check import DocumentKind, Judged, Judgement


class ReportedRule(Protocol):
    """The description of a kind of finding in a report."""

    @property
    def id(self) -> str:
        """Stable: tools count, silence and link by it."""

    @property
    def summary(self) -> str:
        """The fault, in a sentence."""

    @property
    def advice(self) -> str:
        """The remedy."""

    @property
    def note(self) -> bool:
        """Whether its findings refuse nothing."""


class ReportTool(Struct, frozen=True):
    """The tool of a report: the command, and the rules that its findings are about."""

    name: str
    rules: Sequence[ReportedRule]

    def rule_id(self, finding: Finding) -> str:
        """The id of the rule that a finding is about."""
        return finding.rule_id


class ReportFormat(Protocol):
    """One form of a report."""

    def __call__(self, judgement: Judgement, tool: ReportTool = ...) -> str:
        """The whole report as text."""


POLICY_CHECK: Final = ReportTool("sidecar policy check", RULES)

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(judgement: Judgement, tool: ReportTool = POLICY_CHECK) -> str:
    """One object: `documents`, `findings`, `notes`; keys may be added, never renamed."""
    return _dumped(
        {
            "documents": [
                {"file": judged.file, "kind": judged.kind.name.lower(), "against": judged.against}
                for judged in judgement.documents
            ],
            "findings": [_plain(finding, tool) for finding in judgement.findings],
            "notes": [_plain(note, tool) for note in judgement.notes],
        }
    )


def as_github(judgement: Judgement, tool: ReportTool = POLICY_CHECK) -> str:
    """Workflow commands: GitHub shows each at its line of the pull request."""
    del tool
    lines = [annotation("error", finding) for finding in judgement.findings]
    lines += [annotation("warning", note) for note in judgement.notes]
    return _sound("".join(f"{line}\n" for line in lines))


def as_sarif(judgement: Judgement, tool: ReportTool = POLICY_CHECK) -> str:
    """A SARIF log with one run. Results keep their fingerprint when lines move."""
    numbers = {rule.id: number for number, rule in enumerate(tool.rules)}
    results = [_result(finding, "error", numbers, tool) for finding in judgement.findings]
    results += [_result(note, "note", numbers, tool) for note in judgement.notes]
    driver = {
        "name": tool.name,
        "version": __version__,
        "rules": [
            {
                "id": rule.id,
                "shortDescription": {"text": rule.summary},
                "fullDescription": {"text": f"{rule.summary} {rule.advice}"},
                "help": {"text": rule.advice},
                "defaultConfiguration": {"level": "note" if rule.note else "error"},
            }
            for rule in tool.rules
        ],
    }
    return _dumped(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {"driver": driver},
                    "columnKind": "utf16CodeUnits",
                    "invocations": [{"executionSuccessful": True}],
                    "results": results,
                }
            ],
        }
    )


def as_junit(judgement: Judgement, tool: ReportTool = POLICY_CHECK) -> str:
    """One suite: a test for each finding, and one that passes for each document without any."""
    cases = []
    failures = 0
    for judged in judgement.documents:
        if judged.kind is DocumentKind.OTHER:
            continue
        findings = _of(judged, judgement.findings)
        failures += len(findings)
        cases += [_failed(finding, tool) for finding in findings] or [_passed(judged)]
    others = [finding for finding in judgement.findings if finding.file not in {j.file for j in judgement.documents}]
    failures += len(others)
    cases += [_failed(finding, tool) for finding in others]
    counts = f'tests="{len(cases)}" failures="{failures}" errors="0"'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<testsuites name={quoteattr(tool.name)} {counts}>\n"
        f'  <testsuite name={quoteattr(tool.name)} {counts} skipped="0" time="0">\n'
        + "".join(cases)
        + "  </testsuite>\n</testsuites>\n"
    )


def annotation(level: str, finding: Finding) -> str:
    """One workflow command of GitHub's: `level` is error, warning or notice."""
    line = "" if finding.line is None else f",line={finding.line}"
    title = f",title={_property(finding.field)}" if finding.field else ""
    return f"::{level} file={_property(_relative(finding.file))}{line}{title}::{_command(_text(finding))}"


FORMATS: Final[Mapping[str, ReportFormat]] = {
    "json": as_json,
    "sarif": as_sarif,
    "junit": as_junit,
    "github": as_github,
}
"""By the word that asks for them."""


def _dumped(value: object) -> str:
    return _sound(json.dumps(value, indent=2, ensure_ascii=False)) + "\n"


def _sound(text: str) -> str:
    """As UTF-8 can hold it: names of files are bytes, and may not be."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _plain(finding: Finding, tool: ReportTool) -> dict[str, object]:
    return {
        "file": finding.file,
        "line": finding.line,
        "field": finding.field,
        "rule": finding.rule,
        "value": finding.value,
        "id": tool.rule_id(finding),
    }


def _text(finding: Finding) -> str:
    """A finding without its place."""
    field = f"{finding.field}: " if finding.field else ""
    return f"{field}{finding.rule}" + ("" if finding.value is None else f", got {finding.value}")


def _command(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _command(text).replace(":", "%3A").replace(",", "%2C")


def _relative(file: str) -> str:
    """A file as the repository has it, when the check runs at its root."""
    if not os.path.isabs(file):  # noqa: PTH117 - may be a flag or an address, which a Path would rewrite
        return file
    try:
        return Path(file).relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file


def _result(finding: Finding, level: str, numbers: Mapping[str, int], tool: ReportTool) -> dict[str, Any]:
    identity = tool.rule_id(finding)
    named = "\0".join((finding.file, finding.field, finding.rule, finding.value or ""))
    place: dict[str, Any] = {"artifactLocation": _artifact(finding.file)}
    if finding.line is not None:
        place["region"] = {"startLine": finding.line}
    location: dict[str, Any] = {"physicalLocation": place}
    if finding.field:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.field, "kind": "member"}]
    return {
        "ruleId": identity,
        "ruleIndex": numbers[identity],
        "level": level,
        "message": {"text": _text(finding)},
        "locations": [location],
        "partialFingerprints": {"finding/v1": hashlib.sha256(named.encode("utf-8", "replace")).hexdigest()[:32]},
    }


def _artifact(file: str) -> dict[str, str]:
    relative = PurePath(_relative(file))
    if relative.is_absolute():
        return {"uri": "file://" + quote(relative.as_posix(), errors="replace")}
    return {"uri": quote(relative.as_posix(), errors="replace"), "uriBaseId": "%SRCROOT%"}


def _of(judged: Judged, findings: Sequence[Finding]) -> Sequence[Finding]:
    return [finding for finding in findings if finding.file == judged.file]


def _passed(judged: Judged) -> str:
    return f'    <testcase classname={_attribute(judged.file)} name={_attribute(judged.kind.value)} time="0"/>\n'


def _failed(finding: Finding, tool: ReportTool) -> str:
    name = finding.field or tool.rule_id(finding)
    line = "" if finding.line is None else f" line {finding.line}"
    return (
        f'    <testcase classname={_attribute(finding.file)} name={_attribute(name + line)} time="0">\n'
        f"      <failure type={_attribute(tool.rule_id(finding))} message={_attribute(_text(finding))}>"
        f"{escape(_legal(str(finding)))}</failure>\n"
        "    </testcase>\n"
    )


def _attribute(text: str) -> str:
    return quoteattr(_legal(text), {"\n": "&#10;", "\t": "&#9;"})


def _legal(text: str) -> str:
    """Without what XML 1.0 can not hold at all."""
    return _NOT_XML.sub("\ufffd", text)
