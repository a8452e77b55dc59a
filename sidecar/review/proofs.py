"""The proof that each strategy needs beside its label. Without a lack it is proven, as far as a description can."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from sidecar.governance.documents.gate import GateDocument
from sidecar.governance.documents.units import Duration
from sidecar.review.declaration import Declaration
from sidecar.review.fields import lack_of_field, lack_of_schema
from sidecar.review.operations import ApiOperation, OperationKind, Parameter

KEY_CHARACTERS_LEAST: Final = 16
"""A header that takes fewer can not hold a key that is unique by chance: 16 characters of base 64 are 96 bits."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """One thing that is missing: the kind of finding, what is wrong and how it is mended, and where."""

    kind: str
    rule: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class StrategyClaim:
    """An operation, what it declares, and the rules by which it is believed."""

    operation: ApiOperation
    declaration: Declaration
    gate: GateDocument
    min_retention: Duration

    def lacks(self) -> Iterator[Unproven]:
        """Everything that the declared strategies leave unproven."""
        for mechanism in self.declaration.mechanisms:
            if mechanism in _PROOFS:
                yield from _PROOFS[mechanism](self)

    @property
    def key_headers(self) -> tuple[str, ...]:
        """The names under which a stored key may come, the one that the operation names first."""
        declared = self.declaration.header
        return tuple(self.gate.key.headers) if declared is UNSET else (declared,)

    def here(self, kind: str, rule: str) -> Unproven:
        """A lack of the declaration itself."""
        operation = self.operation
        return Unproven(kind, rule, operation.file.name, operation.extension_line("x-idempotency"))

    def at(self, kind: str, rule: str, parameter: Parameter) -> Unproven:
        """A lack of a parameter."""
        return Unproven(kind, rule, parameter.file.name, parameter.file.line(parameter.node))


def key_parameter(operation: ApiOperation, names: tuple[str, ...]) -> Parameter | None:
    """The header parameter that carries the key, by the first of the names that there is."""
    found = (operation.parameter(name, "header") for name in names)
    return next((parameter for parameter in found if parameter is not None), None)


def _key(claim: StrategyClaim) -> Iterator[Unproven]:
    yield from _key_parameter(claim)
    yield from _responses(claim, "key-responses", claim.gate.key.statuses, "so that callers can tell them apart")
    yield from _retention(claim)


def _key_parameter(claim: StrategyClaim) -> Iterator[Unproven]:
    kind, operation = "key-parameter", claim.operation
    accepted = claim.gate.key.headers
    declared = claim.declaration.header
    if declared is not UNSET and declared.lower() not in {name.lower() for name in accepted}:
        rule = f"x-idempotency.header must be a name that the gate knows ({', '.join(accepted)}), got {declared}"
        yield claim.here(kind, rule)
        return
    name = claim.key_headers[0]
    parameter = key_parameter(operation, claim.key_headers)
    if parameter is None:
        elsewhere = _misplaced(operation, claim.key_headers)
        yield claim.here(kind, f"strategy key needs the header parameter {name}, required: true; {elsewhere}")
    elif not parameter.required:
        rule = (
            f"the header {parameter.name} must be required: add required: true, or callers without it are not protected"
        )
        yield claim.at(kind, rule, parameter)
    elif (lack := lack_of_schema(parameter.schema, operation, text=True)) is not None:
        yield claim.at(kind, f"the header {parameter.name} must carry a key, and {lack}", parameter)
    elif (longest := _longest(parameter)) is not None and longest < KEY_CHARACTERS_LEAST:
        rule = f"the header {parameter.name} must take keys of {KEY_CHARACTERS_LEAST} characters, not of {longest} only"
        yield claim.at(kind, rule, parameter)


def _misplaced(operation: ApiOperation, names: tuple[str, ...]) -> str:
    wanted = {name.lower() for name in names}
    for parameter in operation.parameters:
        if parameter.name.lower() in wanted:
            return f"it has a {parameter.location} parameter {parameter.name}"
        if "idempoten" in parameter.name.lower() or "request-id" in parameter.name.lower():
            return f"it has {parameter.name}, which is another name (config/gate.yaml: key.headers)"
    return "it has none"


def _longest(parameter: Parameter) -> int | None:
    value = None if parameter.schema is None else parameter.schema.value
    longest = value.get("maxLength") if isinstance(value, dict) else None
    return longest if isinstance(longest, int) else None


def _retention(claim: StrategyClaim) -> Iterator[Unproven]:
    kind, retention = "key-retention", claim.declaration.retention
    if retention is UNSET:
        rule = f"x-idempotency.retention must say how long keys are kept, like {claim.min_retention}"
        yield claim.here(kind, rule)
    elif retention < claim.min_retention:
        yield claim.here(kind, f"x-idempotency.retention must be at least {claim.min_retention}, got {retention}")


def _responses(claim: StrategyClaim, kind: str, statuses: list[int], why: str) -> Iterator[Unproven]:
    declared = claim.operation.responses
    missing = [str(status) for status in statuses if str(status) not in declared]
    if missing:
        operation = claim.operation
        line = operation.file.line(operation.node, "responses") if declared else operation.line
        rule = f"responses must declare {' and '.join(missing)} {why}; it has {', '.join(declared) or 'none'}"
        yield Unproven(kind, rule, operation.file.name, line)


def _natural_key(claim: StrategyClaim) -> Iterator[Unproven]:
    if claim.declaration.field is UNSET:
        rule = "x-idempotency.field must name the field that a repetition is recognised by, like /reference"
        yield claim.here("natural-key-field", rule)
    else:
        yield from _field(claim, "natural-key-field", "field", claim.declaration.field)


def _conditional(claim: StrategyClaim) -> Iterator[Unproven]:
    kind = "conditional-proof"
    parameter = claim.operation.parameter("If-Match", "header")
    if parameter is None:
        yield claim.here(kind, "strategy conditional needs the header parameter If-Match, required: true; it has none")
    elif not parameter.required:
        yield claim.at(kind, "the header If-Match must be required: add required: true", parameter)
    yield from _responses(claim, kind, [412], "for the request whose version is no longer the current one")


def _event_id(claim: StrategyClaim) -> Iterator[Unproven]:
    kind = "event-proof"
    if claim.declaration.field is UNSET:
        rule = "x-idempotency.field must name the event's id, like /id or header:webhook-id"
        yield claim.here(kind, rule)
    else:
        yield from _field(claim, kind, "field", claim.declaration.field)
    sends = claim.operation.kind is not OperationKind.REQUEST
    if sends and claim.declaration.delivery is UNSET:
        yield claim.here(kind, "x-idempotency.delivery must say at-least-once, so that receivers expect repetitions")


def _send_key(claim: StrategyClaim) -> Iterator[Unproven]:
    if claim.declaration.field is UNSET:
        rule = "x-idempotency.field must name what a repeated send is recognised by, like header:Idempotency-Key"
        yield claim.here("send-key-field", rule)
    else:
        yield from _field(claim, "send-key-field", "field", claim.declaration.field)
    yield from _retention(claim)


def _ledger(claim: StrategyClaim) -> Iterator[Unproven]:
    if claim.declaration.ledger is UNSET:
        rule = "x-idempotency.ledger must name the reference under which the ledger posts once, like /end_to_end_id"
        yield claim.here("ledger-field", rule)
        return
    reference = claim.declaration.ledger
    names = {name.lower() for name in claim.key_headers}
    place, _, name = reference.partition(":")
    if place == "header" and name.lower() in names:
        rule = (
            f"x-idempotency.ledger must be another value than the key ({reference}): a ledger's reference outlives keys"
        )
        yield claim.here("ledger-field", rule)
        return
    yield from _field(claim, "ledger-field", "ledger", reference)
    yield from _responses(claim, "ledger-field", [409], "for a reference that is already posted")


def _field(claim: StrategyClaim, kind: str, word: str, written: str) -> Iterator[Unproven]:
    lack = lack_of_field(claim.operation, written)
    if lack is not None:
        yield Unproven(kind, f"x-idempotency.{word} {lack.rule}", lack.file, lack.line)


_PROOFS: Final[Mapping[str, Callable[[StrategyClaim], Iterator[Unproven]]]] = {
    "key": _key,
    "natural-key": _natural_key,
    "conditional": _conditional,
    "event-id": _event_id,
    "send-key": _send_key,
    "ledger": _ledger,
}
