"""The words that users write against, read from the code: commands, keys, metrics, headers, refusals, variables.

`python -m tests.public_words` prints them in the form of `public_words.txt`, one word a line under its heading.
"""

import ast
import enum
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import inspect

from sidecar.cli import main
from sidecar.client import __all__ as client_names
from sidecar.engine.outcome import Fault
from sidecar.engine.verdict import Refusal
from sidecar.governance.documents.document import AuthorityDocument, PolicyDocument, SidecarDocument
from sidecar.governance.documents.gate import GateDocument
from sidecar.governance.documents.ingress_routes import IngressRouteEntry
from sidecar.governance.documents.rules import RULES
from sidecar.idempotency.gate import KeyOutcome
from sidecar.inject.settings import InjectionSettings
from sidecar.inject.workload import KNOWN, PREFIX
from sidecar.proxy.contract_answer import CONTRACT_PATH
from sidecar.proxy.gated_exchange import BODY_NOT_KEPT
from sidecar.proxy.replies import TYPE_PREFIX
from sidecar.review.catalogue import KINDS as GATE_KINDS
from sidecar.simulator.scenario import ScenarioDocument
from sidecar.telemetry.metrics import METRICS
from sidecar.wire.handshake import HANDSHAKE_FAILURES
from sidecar.wire.hopbyhop import _ROLES as FIELD_ROLES
from sidecar.wire.malformed import REASONS
from sidecar.wire.misdirected import MISDIRECTIONS

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).with_suffix(".txt")

_FIELD_LINE = re.compile(rb"(?:^|\r\n)([A-Za-z][A-Za-z-]*): ")
_FIELD_SEARCH = re.compile(rb"\r\n([a-z][a-z-]*):")
_FIELD_NAME = re.compile(r"(?:[A-Za-z]+-)+[A-Za-z]+")
_NO_FIELDS = {b"not-applied"}
"""Values that look like the name of a field."""
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_REFUSING = {"Malformed", "Misdirected", "Problem", "problem_response"}
_ROUTE_METHODS = {"get", "post", "put", "delete"}


def _trees(*packages: str) -> Iterator[ast.Module]:
    for package in packages:
        for path in sorted((ROOT / "sidecar" / package).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def _nodes(*packages: str) -> Iterator[ast.AST]:
    for tree in _trees(*packages):
        yield from ast.walk(tree)


def _commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        yield f"{name} {word}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{name} {word}")


def command_words() -> Iterator[str]:
    """`sidecar policy check`, `sidecar policy check FILES`, `sidecar policy check --format`, and that with each choice.

    `--help` has its lines at `sidecar` alone: every command has it.
    """
    yield from (f"sidecar {flag}" for flag in main.context_settings["help_option_names"])
    for name, command in [("sidecar", main), *_commands(main, "sidecar")]:
        yield name
        for parameter in command.params:
            assert parameter.name is not None
            is_argument = isinstance(parameter, click.Argument)
            forms = [parameter.name.upper()] if is_argument else [*parameter.opts, *parameter.secondary_opts]
            choices = parameter.type.choices if isinstance(parameter.type, click.Choice) else ()
            for form in forms:
                yield f"{name} {form}"
                yield from (f"{name} {form} {_text(choice)}" for choice in choices)


def variable_words() -> Iterator[str]:
    """Variables of flags, and those that the code reads by name."""
    for _, command in _commands(main, "sidecar"):
        for parameter in command.params:
            if isinstance(parameter.envvar, str):
                yield parameter.envvar
    for node in _nodes("admin", "app", "cli", "governance", "idempotency", "inject", "interception", "telemetry"):
        match node:
            case ast.Call(func=ast.Attribute(attr="get" | "pop" | "getenv"), args=[ast.Constant(value=str(word)), *_]):
                found = word
            case ast.Subscript(slice=ast.Constant(value=str(word))):
                found = word
            case _:
                continue
        if _VARIABLE.fullmatch(found) or found == "HOSTNAME":
            yield found


def exit_codes() -> Iterator[str]:
    """The numbers that commands end with, where they do not run on."""
    for node in _nodes("cli", "__main__.py"):
        match node:
            case ast.Call(func=ast.Attribute(attr="exit"), args=[code]):
                yield from (str(leaf.value) for leaf in ast.walk(code) if _is_number(leaf))
    for name, value in _constants("cli"):
        if name.startswith("_EXIT"):
            yield str(value)


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def _constants(package: str) -> Iterator[tuple[str, object]]:
    for node in _nodes(package):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value)):
                yield name, value


def key_words(cls: type[msgspec.Struct]) -> Iterator[str]:
    """Paths of a document: `destinations.*.endpoints[]`, with `= word` behind it for each word it may be."""
    yield from _keys(inspect.type_info(cls), "")


def _keys(info: inspect.Type, path: str) -> Iterator[str]:
    match info:
        case inspect.StructType(fields=fields):
            for field in fields:
                here = f"{path}.{field.encode_name}" if path else field.encode_name
                yield here
                yield from _keys(field.type, here)
        case inspect.DictType(value_type=value):
            yield from _keys(value, f"{path}.*")
        case inspect.ListType(item_type=item):
            yield from _keys(item, f"{path}[]")
        case inspect.UnionType(types=types):
            for each in types:
                yield from _keys(each, path)
        case inspect.Metadata(type=inner):
            yield from _keys(inner, path)
        case inspect.EnumType(cls=enumeration):
            yield from (f"{path} = {_text(member.value)}" for member in enumeration)
        case inspect.LiteralType(values=values):
            yield from (f"{path} = {_text(value)}" for value in values)


def metric_words() -> Iterator[str]:
    """`sidecar_requests_total counter destination outcome`: the name, the type and the labels in their order."""
    for metric in METRICS:
        yield " ".join((metric.name, metric.kind.value, *metric.label_names))


def metric_values() -> Iterator[str]:
    """`sidecar_requests_total outcome=success`, where the values of a label are a closed list."""
    for metric in METRICS:
        for label in metric.labels:
            yield from (f"{metric.name} {label.name}={value}" for value in label.values if " " not in value)


def header_words() -> Iterator[str]:
    """Fields that the proxy, the gate and the client library write or look for, in lower case."""
    yield from (name.decode() for name in FIELD_ROLES)
    for node in _nodes("proxy", "wire", "idempotency", "client"):
        match node:
            case ast.Constant(value=bytes(text)):
                yield from (name.decode().lower() for name in _FIELD_LINE.findall(text))
                yield from (name.decode() for name in _FIELD_SEARCH.findall(text))
                if _FIELD_NAME.fullmatch(text.decode("latin-1")) and text not in _NO_FIELDS:
                    yield text.decode().lower()
            case ast.Constant(value=str(text)) if _FIELD_NAME.fullmatch(text) and text[0] in "xXI":
                yield text.lower()


def problem_words() -> Iterator[str]:
    """Types of problems: every reason that an answer of the sidecar's own can have."""
    reasons: set[str] = {*REASONS, *MISDIRECTIONS, *HANDSHAKE_FAILURES, BODY_NOT_KEPT}
    reasons |= {refusal.value for refusal in Refusal} | {fault.value for fault in Fault}
    for node in _nodes("proxy", "wire", "idempotency"):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[_, ast.Constant(value=str(reason)), *_]):
                if name in _REFUSING:
                    reasons.add(reason)
            case ast.Call(func=ast.Attribute(attr="_refused"), args=[_, ast.Attribute(attr=outcome), *_]):
                reasons.add(KeyOutcome[outcome].value)
    yield from (TYPE_PREFIX + reason for reason in reasons)


def admin_words() -> Iterator[str]:
    """Paths that the admin plane, the webhook and the ingress listener answer, with their methods."""
    for node in _nodes("admin", "inject"):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="web"), attr=method), args=[ast.Constant(value=str(path)), *_]
            ):
                if method in _ROUTE_METHODS:
                    yield f"{method.upper()} {path}"
    yield f"GET {CONTRACT_PATH.decode()}"


def _text(value: object) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    return str(value).lower() if isinstance(value, bool) else str(value)


SECTIONS: Mapping[str, Callable[[], Iterable[Any]]] = {
    "Commands, flags and arguments": command_words,
    "Exit codes": exit_codes,
    "Environment variables": variable_words,
    "Keys of the policy": lambda: key_words(PolicyDocument),
    "Keys of the sidecar file": lambda: key_words(SidecarDocument),
    "Keys of a route of ingress": lambda: key_words(IngressRouteEntry),
    "Keys of the authority": lambda: key_words(AuthorityDocument),
    "Keys of the rules of the gate": lambda: key_words(GateDocument),
    "Keys of a scenario": lambda: key_words(ScenarioDocument),
    "Keys of injection.yaml": lambda: key_words(InjectionSettings),
    "Annotations": lambda: [PREFIX + name for name in KNOWN],
    "Rules of documents": lambda: [rule.id.value for rule in RULES],
    "Rules of the gate": lambda: [kind.id for kind in GATE_KINDS],
    "Metrics with their labels": metric_words,
    "Values of labels": metric_values,
    "Headers": header_words,
    "Refusals": lambda: [refusal.value for refusal in Refusal],
    "Problem types": problem_words,
    "Paths that are answered": admin_words,
    "Names of the client library": lambda: client_names,
}


@cache
def public_words() -> dict[str, list[str]]:
    """Each section's words, sorted."""
    return {heading: sorted(set(words())) for heading, words in SECTIONS.items()}


def written(words: Mapping[str, Iterable[str]]) -> str:
    """The words as the file has them."""
    return "\n".join(f"# {heading}\n" + "".join(f"{word}\n" for word in each) for heading, each in words.items())


def recorded(text: str) -> dict[str, list[str]]:
    """The words of such a file."""
    words: dict[str, list[str]] = {}
    for line in filter(None, text.splitlines()):
        if line.startswith("# "):
            heading = words.setdefault(line.removeprefix("# "), [])
        else:
            heading.append(line)
    return words


if __name__ == "__main__":
    sys.stdout.write(written(public_words()))
