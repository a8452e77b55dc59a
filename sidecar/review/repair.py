"""Writes a strategy and what proves it into a description: the parameter, the responses, the retention.

What other operations share (a parameter behind a reference, one of the whole path) is not touched: the operation gets
its own. The changed text is judged again before it is given back.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from msgspec import UNSET

from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.documents.units import Duration
from sidecar.review.declaration import declaration_of
from sidecar.review.insertion import Insertions, NotEditable, Plain
from sidecar.review.judge import Bench
from sidecar.review.operations import ApiOperation, Dialect, OperationKind, operations_of
from sidecar.review.proofs import StrategyClaim
from sidecar.review.references import Library
from sidecar.review.repository import read_file, shown_path
from sidecar.review.surfaces import Surfaces

RepairedStrategy = Literal["key", "conditional"]

_ANSWERS: Final = {
    409: "The first request with this key is still running; ask again after Retry-After.",
    422: "This key was used for another request.",
    412: "The version in If-Match is not the current one.",
}
_HEADERS: Final = {
    "Idempotency-Key": "One value for one operation, the same whenever it is repeated.",
    "If-Match": "The ETag of the version that is to be changed.",
}


@dataclass(frozen=True, slots=True)
class Repair:
    """The new text of one file. `path` is absolute."""

    path: str
    old: str
    new: str


def repaired(bench: Bench, path: str, wanted: str, strategy: RepairedStrategy) -> Repair:
    """Give the operation `wanted`, by operationId or by method and path, a proven strategy.

    Raises NotEditable when that can not be done, and InvalidDocument or OSError when the description can not be read.
    """
    library = Library(read_file, shown_path)
    operation = _operation(library, path, wanted)
    work = _Work(bench, operation, strategy)
    edits = work.edits()
    file_path = next(_path(uri) for uri, file in library.files.items() if file is operation.file)
    repair = Repair(file_path, operation.file.text, edits.text())
    _check(bench, repair, path, wanted)
    return repair


class _Work:
    def __init__(self, bench: Bench, operation: ApiOperation, strategy: RepairedStrategy) -> None:
        self._gate = bench.rules.document
        self._operation = operation
        self._strategy = strategy
        self._edits = Insertions(operation.file)
        self._rule = Surfaces(self._gate).place(operation).rule
        self._header = self._gate.key.headers[0] if strategy == "key" else "If-Match"
        self._statuses = self._gate.key.statuses if strategy == "key" else [412]

    def edits(self) -> Insertions:
        self._declare()
        self._require_header()
        self._declare_answers()
        return self._edits

    def _declare(self) -> None:
        node = self._operation.node
        terms: dict[str, Plain] = {"strategy": self._strategy}
        if self._strategy == "key":
            terms["retention"] = "24h" if self._rule is None else str(self._rule.min_retention)
        written = node.get("x-idempotency")
        if written is None:
            self._edits.add_key(node, "x-idempotency", terms, after="operationId")
            return
        declared = declaration_of(self._operation, [])
        if declared is None or self._strategy not in declared.mechanisms:
            raise NotEditable(f"{self._operation.key} declares x-idempotency already: change that by hand")
        if "retention" in terms and declared.retention is UNSET:
            self._edits.add_key(written, "retention", terms["retention"])

    def _require_header(self) -> None:
        operation = self._operation
        given = operation.node.get("parameters")
        own = given if isinstance(given, list) else []
        for index, entry in enumerate(own):
            target = operation.library.resolve(entry, operation.where)
            node = target.value
            if node.get("in") != "header" or str(node.get("name")).lower() != self._header.lower():
                continue
            if node.get("required") is True:
                return
            if entry is not node:  # shared: the operation gets its own
                self._edits.replace_item(own, index, {**self._parameter(), "name": str(node["name"])})
            elif "required" in node:
                self._edits.replace(node, "required", value=True)
            else:
                self._edits.add_key(node, "required", value=True, after="in")
            return
        shared = operation.parameter(self._header, "header")
        if shared is not None and shared.required:
            return
        if given is None:
            self._edits.add_key(operation.node, "parameters", [self._parameter()], after=self._before_parameters())
        else:
            self._edits.add_item(own, self._parameter())

    def _before_parameters(self) -> str | None:
        """The key behind which parameters are usual: the last of those that say what an operation is."""
        written = [word for word in self._operation.node if word in {"operationId", "summary", "description", "tags"}]
        return written[-1] if written else None

    def _parameter(self) -> dict[str, Plain]:
        schema: dict[str, Plain] = {"type": "string"}
        if self._strategy == "key":
            schema["maxLength"] = 255
        described: dict[str, Plain] = {
            "name": self._header,
            "in": "header",
            "required": True,
            "description": _HEADERS.get(self._header, ""),
        }
        swagger = self._operation.dialect is Dialect.SWAGGER_2
        return {**described, **(schema if swagger else {"schema": schema})}

    def _declare_answers(self) -> None:
        node = self._operation.node
        missing = [status for status in self._statuses if str(status) not in self._operation.responses]
        if not missing:
            return
        answers: dict[str, Plain] = {
            str(status): {"description": _ANSWERS.get(status, "Refused because of the key.")} for status in missing
        }
        if not node.get("responses"):
            raise NotEditable(f"{self._operation.key} has no responses: describe what it answers first")
        numbers = sorted(word for word in self._operation.responses if word.isdigit() and int(word) < missing[0])
        behind = numbers[-1] if numbers else None
        for status, answer in answers.items():
            self._edits.add_key(node["responses"], status, answer, after=behind)


def _operation(library: Library, path: str, wanted: str) -> ApiOperation:
    root = library.open(path)
    lost = library.check(root) if isinstance(root.value, dict) else []
    if lost:
        raise InvalidDocument(lost)
    found = [
        one
        for one in operations_of(library, root)
        if wanted in {one.id, one.key, f"{one.method} {one.written_path}"} and one.kind is OperationKind.REQUEST
    ]
    if len(found) != 1:
        count = "no operation" if not found else f"{len(found)} operations"
        raise NotEditable(f"{shown_path(path)} has {count} called {wanted}")
    return found[0]


def _check(bench: Bench, repair: Repair, path: str, wanted: str) -> None:
    """That the new text still is a description, and that its operation is proven by what it declares."""

    def read(asked: str) -> bytes:
        return repair.new.encode() if asked == repair.path else read_file(asked)

    operation = _operation(Library(read, shown_path), path, wanted)
    findings: list[Finding] = []
    declared = declaration_of(operation, findings)
    if declared is None:
        raise NotEditable(f"{wanted} can not be repaired: {findings}")
    rule = Surfaces(bench.rules.document).place(operation).rule
    least = Duration(0.0) if rule is None else rule.min_retention
    claim = StrategyClaim(operation, declared, bench.rules.document, least)
    lacks = [f"{lack.file}:{lack.line}: {lack.rule}" for lack in claim.lacks()]
    if lacks:
        raise NotEditable(f"{wanted} would still not be proven: {'; '.join(lacks)}")


def _path(uri: str) -> str:
    return unquote(urlsplit(uri).path)


def written(repair: Repair) -> None:
    """Put the new text in the place of the old."""
    Path(repair.path).write_text(repair.new, encoding="utf-8", newline="")
