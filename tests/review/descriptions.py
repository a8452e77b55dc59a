"""Descriptions of the tests, and a gate to judge them by: rules of config/gate.yaml, a fixed day, files in memory."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from sidecar.governance.documents.finding import Finding
from sidecar.governance.policy.gate_rules import GateRules, gate_rules
from sidecar.review.codeowners import CodeOwners
from sidecar.review.judge import Bench, JudgedDescription
from sidecar.review.operations import ApiOperation, operations_of
from sidecar.review.references import Library, Target

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RULES_FILE = Path(__file__).resolve().parents[2] / "config" / "gate.yaml"
HEAD = "openapi: 3.1.0\ninfo: {title: Payments, version: 1.0.0}\n"

EXCEPTION = """\
exceptions:
  - id: GX-1
    operation: createPayment
    reason: The acquirer dedupes by order number
    ticket: PAY-1
    owner: team-payments
    approved_by: [a.lee, b.ortiz]
    not_before: 2026-11-20
    expires: 2026-12-10
"""


def rules(exceptions: str = "exceptions: []\n", **changes: str) -> GateRules:
    """The shipped rules, with other exceptions, and with the top-level lines of `changes` in place of theirs."""
    text = RULES_FILE.read_text(encoding="utf-8").replace("exceptions: []\n", exceptions)
    for word, line in changes.items():
        before, _, rest = text.partition(f"\n{word}:")
        text = f"{before}\n{word}: {line}\n{rest.partition(chr(10))[2]}"
    findings: list[Finding] = []
    read = gate_rules(text.encode(), "gate.yaml", findings)
    assert findings == []
    assert read is not None
    return read


def library(files: Mapping[str, str | bytes]) -> Library:
    """Files in memory, by name below /."""

    def read(path: str) -> bytes:
        try:
            content = files[path.lstrip("/")]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory") from None
        return content.encode() if isinstance(content, str) else content

    return Library(read, lambda path: path.lstrip("/"))


def opened(text: str, **others: str) -> tuple[Library, Target]:
    """A description and its root."""
    whole = library({"api.yaml": text, **{name.replace("__", "."): content for name, content in others.items()}})
    return whole, whole.open("/api.yaml")


def operations(text: str, **others: str) -> list[ApiOperation]:
    """The operations of a description."""
    return operations_of(*opened(text, **others))


def judged(
    text: str,
    *,
    by: GateRules | None = None,
    before: str | None = None,
    owners: CodeOwners | None = None,
    now: datetime = NOW,
    name: str = "api.yaml",
    files: Mapping[str, str] | None = None,
) -> JudgedDescription:
    """A description judged. `before` is its baseline."""
    bench = Bench(by or rules(), now, owners, lambda path: path.lstrip("/"))
    old = None if before is None else bench.judge(library({name: before}), f"/{name}")
    return bench.judge(library({name: text, **(files or {})}), f"/{name}", old)


def kinds(description: JudgedDescription) -> list[str]:
    """The kinds of the findings, in order."""
    return [one.kind for one in description.findings]


def texts(description: JudgedDescription) -> list[str]:
    """The findings as lines, without the page that each ends with."""
    findings = [*description.unjudged, *(one.finding for one in description.findings)]
    return [
        str(replace(finding, rule=finding.rule.rpartition(" (docs/gate/")[0] or finding.rule)) for finding in findings
    ]
