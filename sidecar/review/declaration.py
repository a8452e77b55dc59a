"""`x-idempotency`: what an operation says of itself. A label; `proofs` says whether the rest of it bears it out."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.document import Text
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.gate import Strategy
from sidecar.governance.documents.ingress_routes import FieldName
from sidecar.governance.documents.mapping import Document
from sidecar.governance.documents.units import Duration
from sidecar.governance.documents.yaml import Path, Tree
from sidecar.review.operations import ApiOperation
from sidecar.review.source import DescriptionFile

Mechanism = Literal["key", "natural-key", "conditional", "event-id", "send-key", "ledger", "none"]
RouteClass = Literal["at_most_once", "reexecute_ok", "best_effort"]


class DesignReview(Document, frozen=True, kw_only=True):
    """`x-idempotency.review`: who looked at the design, when, and where that can be read."""

    by: list[Text] | Text
    date: date
    link: Annotated[str, Meta(pattern=r"\Ahttps?://\S+\Z", extra={"rule": "must be an address like https://…"})]

    @property
    def people(self) -> tuple[str, ...]:
        """The people named."""
        return (self.by,) if isinstance(self.by, str) else tuple(self.by)


class Declaration(Document, frozen=True, kw_only=True):
    """`x-idempotency`. The last six are for the route table, and mean there what they mean in `ingress.routes`."""

    strategy: list[Strategy] | Mechanism
    header: FieldName | UnsetType = UNSET
    field: Text | UnsetType = UNSET
    ledger: Text | UnsetType = UNSET
    delivery: Literal["at-least-once"] | UnsetType = UNSET
    exception: Text | UnsetType = UNSET
    review: DesignReview | UnsetType = UNSET
    retention: Duration | UnsetType = UNSET
    route_class: RouteClass | UnsetType = msgspec.field(default=UNSET, name="class")
    scope: list[FieldName] | UnsetType = UNSET
    ignore_fields: list[Text] | UnsetType = UNSET
    after_retention: Literal["new", "reject"] | UnsetType = UNSET
    wait: Duration | UnsetType = UNSET

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The strategies, in the order in which they are written."""
        return (self.strategy,) if isinstance(self.strategy, str) else tuple(self.strategy)


def declaration_of(operation: ApiOperation, findings: list[Finding]) -> Declaration | None:
    """The operation's declaration; None when there is none, or, with findings, none that can be understood."""
    written = operation.node.get("x-idempotency")
    if written is None:
        return None
    line = operation.extension_line("x-idempotency")
    lines = dict(_lines(written, (), operation.file))
    found: list[Finding] = []
    tree = Tree(operation.file.name, written, {(): line, **lines})
    declared = Decoder(tree, found).document(Declaration, {"strategy": "none"})
    for finding in found:
        name = f"x-idempotency.{finding.field}" if finding.field else "x-idempotency"
        findings.append(Finding(finding.file, finding.line, operation.key, f"{name} {finding.rule}", finding.value))
    return None if found else declared


def _lines(value: Any, path: Path, file: DescriptionFile) -> Iterator[tuple[Path, int]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*path, key), file.line(value, key)
        yield from _lines(part, (*path, key), file)
