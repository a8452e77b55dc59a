"""Whether a field of a request is surely there, and whether its value can tell two requests apart.

A schema proves a field when every value that it allows has it: `allOf` adds up, of `oneOf` and `anyOf` every branch
must prove it, and what can not be followed proves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.review.operations import ApiOperation, Body, Dialect
from sidecar.review.references import Target

_DEPTH_CEILING: Final = 64
_PLACES: Final = {"header": "header", "query": "query", "path": "path", "cookie": "cookie"}


@dataclass(frozen=True, slots=True)
class Lack:
    """The reason why a field proves nothing: the broken rule, and where to look."""

    rule: str
    file: str
    line: int


def lack_of_field(operation: ApiOperation, written: str) -> Lack | None:
    """The reason why the field `written` is not surely in every request, or tells nothing apart; None for a proof.

    `/reference` and `/event/id` are JSON pointers into the body (RFC 6901), `header:webhook-id`, `query:ref` and
    `path:id` name parameters.
    """
    place, _, name = written.partition(":")
    if place in _PLACES and name:
        return _lack_of_parameter(operation, _PLACES[place], name)
    if not written.startswith("/"):
        rule = "must be a JSON pointer into the body like /reference, or header:NAME, query:NAME or path:NAME"
        return Lack(rule, operation.file.name, operation.extension_line("x-idempotency"))
    steps = [step.replace("~1", "/").replace("~0", "~") for step in written[1:].split("/")]
    return _lack_of_body(operation, operation.body, steps, written)


def lack_of_schema(schema: Target | None, operation: ApiOperation, *, text: bool = False) -> str | None:
    """The reason why values of a schema can not tell requests apart; None when they can. With `text`: must be text."""
    if schema is None:
        return None
    return _Reading(operation).sameness(schema, text=text)


def _lack_of_parameter(operation: ApiOperation, location: str, name: str) -> Lack | None:
    if location == "header" and (headers := operation.header_schema()) is not None:
        return _lack_of_body(operation, headers, [name], f"header {name}")
    parameter = operation.parameter(name, location)
    if parameter is None:
        rule = f"names the {location} {name}, which the operation does not have"
        return Lack(rule, operation.file.name, operation.extension_line("x-idempotency"))
    line = parameter.file.line(parameter.node)
    if not parameter.required and location != "path":
        return Lack(f"names the {location} {name}, which is optional: add required: true", parameter.file.name, line)
    sameness = lack_of_schema(parameter.schema, operation)
    if sameness is not None:
        return Lack(f"names the {location} {name}, which {sameness}", parameter.file.name, line)
    return None


def _lack_of_body(operation: ApiOperation, body: Body | None, steps: Sequence[str], named: str) -> Lack | None:
    said = operation.extension_line("x-idempotency")
    if body is None or not body.schemas:
        return Lack(f"names {named}, and the operation has no request body", operation.file.name, said)
    if not body.required:
        rule = f"names {named} in a body that is optional: add required: true to the request body"
        return Lack(rule, body.file.name, body.line)
    for media, schema in body.schemas:
        reading = _Reading(operation)
        lack = reading.lack(schema, list(steps))
        if lack is not None:
            other = f" of {media}" if len(body.schemas) > 1 else ""
            file, line = reading.place or (schema.file.name, schema.file.line(schema.value))
            return Lack(f"names {named}, {lack}{other}", file, line)
    return None


class _Reading:
    """One walk through a schema. `place` is where the last thing that mattered is written."""

    def __init__(self, operation: ApiOperation) -> None:
        self.place: tuple[str, int] | None = None
        self._library = operation.library
        self._beside_counts = operation.dialect not in {Dialect.SWAGGER_2, Dialect.OPENAPI_3_0}

    def lack(self, schema: Target, steps: list[str]) -> str | None:
        """The reason why the field at `steps` is no proof: a clause that follows the field's name."""
        step, *rest = steps
        if not self._required(schema, step, 0):
            fields = self._fields(schema, step, 0)
            if not fields:
                return "which the schema does not have"
            self.place = (fields[0].file.name, fields[0].file.line(fields[0].value))
            return "which is not required: add it to required"
        fields = self._fields(schema, step, 0)
        if not fields:
            return "which is required and has no schema: give it a type"
        field = fields[0]
        self.place = (field.file.name, field.file.line(field.value))
        if rest:
            return self.lack(field, rest)
        for found in fields:
            if isinstance(found.value, dict) and self._flag(found, "readOnly"):
                return "which is readOnly: a request does not carry it"
        sameness = self.sameness(field)
        return None if sameness is None else f"which {sameness}"

    def sameness(self, schema: Target, *, text: bool = False) -> str | None:
        """The reason why its values can not tell requests apart: a clause."""
        here = self._followed(schema)
        value = here.value
        if not isinstance(value, dict):
            return "is refused by its schema" if value is False else None
        kinds = value.get("type")
        named = set(kinds) if isinstance(kinds, list) else {kinds} if kinds is not None else set()
        if "const" in value or "enum" in value:
            return "has a fixed set of values, which can not tell requests apart"
        if value.get("nullable") is True or "null" in named:
            return "may be null"
        if value.get("maxLength") == 0 or (value.get("pattern") in {"^$", ""} and "string" in named):
            return "can only be empty"
        if "boolean" in named:
            return "is a boolean, which can not tell requests apart"
        if text and named and "string" not in named:
            return "is not text"
        for part in self._parts(here, "allOf"):
            if (lack := self.sameness(part, text=text)) is not None:
                return lack
        for word in ("oneOf", "anyOf"):
            for part in self._parts(here, word):
                if (lack := self.sameness(part, text=text)) is not None:
                    return lack
        return None

    def _required(self, schema: Target, name: str, depth: int) -> bool:
        here = self._followed(schema)
        if not isinstance(here.value, dict) or depth > _DEPTH_CEILING:
            return False
        required = here.value.get("required")
        if isinstance(required, list) and name in required:
            return True
        if here.beside is not None and self._required(here.beside, name, depth + 1):
            return True
        if any(self._required(part, name, depth + 1) for part in self._parts(here, "allOf")):
            return True
        for word in ("oneOf", "anyOf"):
            branches = self._parts(here, word)
            if branches and all(self._required(branch, name, depth + 1) for branch in branches):
                return True
        return False

    def _fields(self, schema: Target, name: str, depth: int) -> list[Target]:
        """Every schema that is given for the field, the nearest first."""
        here = self._followed(schema)
        if not isinstance(here.value, dict) or depth > _DEPTH_CEILING:
            return []
        found = []
        properties = here.value.get("properties")
        if isinstance(properties, dict) and name in properties and properties[name] is not False:
            found.append(Target(properties[name], here.file, here.base))
        if here.beside is not None:
            found += self._fields(here.beside, name, depth + 1)
        for word in ("allOf", "oneOf", "anyOf"):
            for part in self._parts(here, word):
                found += self._fields(part, name, depth + 1)
        return found

    def _flag(self, schema: Target, name: str) -> bool:
        here = self._followed(schema)
        return isinstance(here.value, dict) and (here.value.get(name) is True or schema.value.get(name) is True)

    def _followed(self, schema: Target) -> "_Followed":
        """The schema behind references, and what is said beside them, which counts from OpenAPI 3.1 on."""
        if not isinstance(schema.value, dict) or "$ref" not in schema.value:
            return _Followed(schema.value, schema.file, schema.base, None)
        try:
            target = self._library.resolve(schema.value, schema)
        except InvalidDocument:
            return _Followed(None, schema.file, schema.base, None)
        rest = {key: part for key, part in schema.value.items() if key != "$ref"}
        beside = Target(rest, schema.file, schema.base) if rest and self._beside_counts else None
        return _Followed(target.value, target.file, target.base, beside)

    def _parts(self, schema: "_Followed", word: str) -> list[Target]:
        parts = schema.value.get(word) if isinstance(schema.value, dict) else None
        return [Target(part, schema.file, schema.base) for part in parts] if isinstance(parts, list) else []


@dataclass(frozen=True, slots=True)
class _Followed:
    value: Any
    file: Any
    base: str
    beside: Target | None
