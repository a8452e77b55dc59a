"""The route table of ingress, as the descriptions declare it: what runs at most once, by which key, for how long.

Every operation of the service that has an effect is an entry, also where nothing protects it: a request with an effect
that meets no entry is one that no description declares.
"""

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import yaml
from msgspec import UNSET

from sidecar.governance.documents.route_match import PathTemplate
from sidecar.review.declaration import Declaration
from sidecar.review.judge import JudgedDescription, JudgedOperation
from sidecar.review.operations import ApiOperation, OperationKind
from sidecar.review.proofs import key_parameter
from sidecar.review.surfaces import RepetitionEffect

FORM_VERSION: Final = 1
NAME_CHARACTERS: Final = 63

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+")
_PARAMETERS: Final = re.compile(r"\{[^{}]*\}(?:\{[^{}]*\})*")
_PARAMETER_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PATH_CHARACTERS: Final = "/~!$&'()*+,;=:@%-._"


def route_table(descriptions: Sequence[JudgedDescription]) -> str:
    """The document that `ingress.routes` reads, entries with literal segments before those with parameters."""
    declared = [
        judged
        for description in descriptions
        for judged in description.operations
        if judged.operation.kind is OperationKind.REQUEST and judged.effect is not RepetitionEffect.NONE
    ]
    declared.sort(key=lambda judged: _specificity(judged.operation.path))
    taken: set[str] = set()
    routes = [_entry(judged, _name(judged.operation, taken)) for judged in declared]
    files = ", ".join(description.file for description in descriptions)
    body = yaml.safe_dump(
        {"version": FORM_VERSION, "routes": routes}, sort_keys=False, default_flow_style=None, width=4096
    )
    return (
        f"# Written by `sidecar gate --emit-routes` from {files}.\n"
        "# Change the descriptions and write it again.\n"
        f"{body}"
    )


def route_path(path: str) -> str:
    """A path template as routes have it: percent-encoded literals, parameters with plain names, none beside another."""
    whole = ""
    position = 0
    for number, match in enumerate(_PARAMETERS.finditer(path), start=1):
        name = match[0][1:].split("}", 1)[0]
        whole += quote(path[position : match.start()], safe=_PATH_CHARACTERS)
        whole += f"{{{name if _PARAMETER_NAME.fullmatch(name) else f'p{number}'}}}"
        position = match.end()
    return str(PathTemplate.parse(whole + quote(path[position:], safe=_PATH_CHARACTERS)))


def _entry(judged: JudgedOperation, name: str) -> dict[str, Any]:
    operation = judged.operation
    entry: dict[str, Any] = {"name": name, "match": {"methods": [operation.method], "path": route_path(operation.path)}}
    declaration = judged.declaration
    if declaration is not None:
        entry |= _contract(judged, declaration)
    return entry


def _contract(judged: JudgedOperation, declaration: Declaration) -> dict[str, Any]:
    key = _key(judged, declaration)
    asked = declaration.route_class is not UNSET
    stored = bool({"key", "send-key"} & set(declaration.mechanisms))
    if key is None or not (stored or asked):
        return {}
    entry: dict[str, Any] = {
        "class": declaration.route_class if asked else "at_most_once",
        "key": key,
        "required": True,
    }
    if declaration.retention is not UNSET:
        entry["retention"] = str(declaration.retention)
    for word in ("scope", "ignore_fields", "after_retention"):
        value = getattr(declaration, word)
        if value is not UNSET:
            entry[word] = value
    if declaration.wait is not UNSET:
        entry["wait"] = str(declaration.wait)
    return entry


def _key(judged: JudgedOperation, declaration: Declaration) -> dict[str, str] | None:
    if "key" in declaration.mechanisms:
        names = ("Idempotency-Key",) if declaration.header is UNSET else (declaration.header,)
        parameter = key_parameter(judged.operation, (*names, *judged.key_headers))
        return {"header": names[0] if parameter is None else parameter.name}
    if declaration.field is UNSET:
        return None
    if declaration.field.startswith("/"):
        return {"pointer": declaration.field}
    place, _, name = declaration.field.partition(":")
    return {"header": name} if place == "header" else None


def _specificity(path: str) -> tuple[tuple[int, str], ...]:
    """Sorts as OpenAPI matches: of two templates the one whose earlier segment is literal is the nearer."""
    return tuple(
        (0, segment) if "{" not in segment else (2, "") if _PARAMETERS.fullmatch(segment) else (1, segment)
        for segment in path.split("/")[1:]
    )


def _name(operation: ApiOperation, taken: set[str]) -> str:
    written = operation.id or f"{operation.method} {_PARAMETERS.sub('', operation.path)}"
    base = "-".join(word.lower() for word in _WORD.findall(written))[:NAME_CHARACTERS].strip("-") or "route"
    name, number = base, 2
    while name in taken:
        name = f"{base[: NAME_CHARACTERS - len(str(number)) - 1]}-{number}"
        number += 1
    taken.add(name)
    return name
