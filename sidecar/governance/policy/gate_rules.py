"""The gate's document with its exceptions judged: the same liveness and approval as those of a policy.

Every exception of the gate is hard: two people approve it, none of them its owner, and it is over within 30 days.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from msgspec import UNSET, Struct

from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.finding import Finding, RuleId
from sidecar.governance.documents.gate import GateDocument, GateException, read_gate
from sidecar.governance.documents.yaml import Tree, parse
from sidecar.governance.policy.waivers import State, check_waiver, live, state_of

HARD: Final = "every exception of the gate is hard"


class GateGrant(Struct, frozen=True):
    """An exception that holds together, whatever the time is, and where it is written."""

    exception: GateException
    file: str
    line: int

    def excuses(self, rule: str | None) -> bool:
        """Whether it is about the rule of the gate with that id; None for an operation without a strategy."""
        named = self.exception.rule
        return rule is None if named is UNSET else named == rule

    def __str__(self) -> str:
        return f"exception {self.exception.id} ({self.file}:{self.line})"


class GateRules(Struct, frozen=True):
    """The rules that the gate judges by."""

    document: GateDocument
    grants: Sequence[GateGrant]
    file: str

    def granted(self, operation: set[str], rule: str | None, now: datetime) -> Iterator[tuple[GateGrant, State]]:
        """The exceptions of an operation, by any of its names, for one rule: those that hold first."""
        about = [
            (grant, state_of(grant.exception, now))
            for grant in self.grants
            if grant.exception.operation in operation and grant.excuses(rule)
        ]
        yield from sorted(about, key=lambda pair: not live(pair[0].exception, now))


def gate_rules(content: bytes, file: str, findings: list[Finding]) -> GateRules | None:
    """The rules in a document. What is wrong is added to `findings`; raises InvalidDocument when it is not YAML."""
    tree = parse(content, file)
    document = read_gate(tree, findings)
    if document is None:
        return None
    return GateRules(document, list(_grants(document, tree, findings)), file)


def _grants(document: GateDocument, tree: Tree, findings: list[Finding]) -> Iterator[GateGrant]:
    decoder = Decoder(tree, findings)
    written = tree.at(("exceptions",)) if ("exceptions",) in tree.lines else []
    places: dict[object, int] = {}
    for index, entry in enumerate(written if isinstance(written, list) else []):
        places.setdefault(entry.get("id") if isinstance(entry, dict) else None, index)
    seen: set[str] = set()
    for exception in document.exceptions:
        path = ("exceptions", places[exception.id])
        before = len(findings)
        if exception.id in seen:
            decoder.broken((*path, "id"), "must not be another exception's id", exception.id, RuleId.DUPLICATE)
        seen.add(exception.id)
        check_waiver(exception, path, decoder, hard=HARD)
        if len(findings) == before:
            yield GateGrant(exception, tree.file, tree.line(path))
