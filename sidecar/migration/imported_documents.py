"""A translation as the two documents people go on with, each setting with the place it comes from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final

from sidecar.migration.foreign_document import ForeignValue
from sidecar.migration.translation import (
    ImportedDestination,
    ImportedRoute,
    ImportedSetting,
    NoteKind,
    Translation,
)
from sidecar.net import Endpoint, HostPort

_COMMENT_COLUMN: Final = 44
_ORDER: Final = ("timeout", "per_attempt_timeout", "idle_timeout", "retry", "budget", "breaker", "concurrency")


def policy_text(translation: Translation, owner: str, files: Sequence[str]) -> str:
    """The policy: settings of each destination; the built-in defaults and guardrails are in force for all else."""
    lines = [
        f"# Imported by `sidecar policy import` from {', '.join(map(_one_line, files))}.",
        "# Each setting names the line it comes from. What is not said has the built-in defaults, and the built-in",
        "# guardrails are in force: see docs/settings.md. Nothing here was measured on your traffic: run it with",
        "# `mode: observe` first (docs/adopt.md), and switch the retries of the original off before you enforce it.",
        "version: 1",
        f"owner: {json.dumps(owner)}",
    ]
    governed = [each for each in translation.destinations.values() if each.settings or each.routes]
    lines.append("destinations:" if governed else "destinations: {}")
    for destination in sorted(governed, key=lambda each: each.name):
        lines.append(_commented(f"  {destination.name}:", _place(destination.origin)))
        lines.extend(_settings(destination.settings, "    "))
        routes = [route for route in destination.routes if route.settings]
        if routes:
            lines.append("    routes:")
        for route in routes:
            lines.extend(_route(route))
        if not destination.settings and not routes:
            lines[-1] = lines[-1].replace(":", ": {}", 1)
    return "\n".join(lines) + "\n"


def sidecar_text(translation: Translation, service: str, policy_file: str) -> str:
    """The sidecar file of a service that calls these destinations; what could not be said is noted."""
    lines = [
        "# Imported by `sidecar policy import`: whom the service calls. Leave out what it does not.",
        f"service: {json.dumps(service)}",
        f"policy: {{file: {json.dumps(policy_file)}}}",
        "destinations:",
    ]
    hosts = _hosts(translation)
    for destination in sorted(translation.destinations.values(), key=lambda each: each.name):
        lines.append(_commented(f"  {destination.name}:", _place(destination.origin)))
        lines.append(_endpoints(destination, translation))
        lines.append(f"    hosts: [{', '.join(map(json.dumps, hosts[destination.name]))}]")
    return "\n".join(lines) + "\n"


def _hosts(translation: Translation) -> dict[str, list[str]]:
    """The hosts of each destination: its name, and every host of the original that no other destination has."""
    owners = {name: name for name in translation.destinations}
    for destination in translation.destinations.values():
        for written, source in destination.hosts.items():
            try:
                host = str(HostPort.parse(written))
            except ValueError as error:
                translation.leave(source, f"{error}")
                continue
            owner = owners.setdefault(host, destination.name)
            if owner != destination.name:
                translation.leave(source, f"{host} leads to {owner}: a host is one destination's")
    return {name: [host for host, owner in owners.items() if owner == name] for name in translation.destinations}


def _endpoints(destination: ImportedDestination, translation: Translation) -> str:
    endpoints = []
    for written, source in destination.endpoints.items():
        try:
            endpoints.append(str(Endpoint.parse(written)))
        except ValueError as error:
            translation.leave(source, f"{error}")
    if endpoints:
        return f"    endpoints: [{', '.join(map(json.dumps, endpoints))}]"
    translation.leave(
        destination.origin,
        f"says no address of {destination.name}: write its endpoints into the sidecar file; "
        f"http://{destination.name}:80 stands in for them",
    )
    address = json.dumps(f"http://{destination.name}:80")
    return _commented(f"    endpoints: [{address}]", "stands in: the original says no address")


def _route(route: ImportedRoute) -> Iterator[str]:
    yield _commented(f"      - name: {route.name}", _place(route.origin))
    methods = f"methods: [{', '.join(route.match.methods)}], " if route.match.methods else ""
    yield f"        match: {{{methods}path: {json.dumps(str(route.match.path))}}}"
    yield from _settings(route.settings, "        ")


def _settings(settings: Mapping[str, ImportedSetting], indent: str) -> Iterator[str]:
    """Settings by dotted path as nested keys, in the order of the documentation."""
    groups: dict[str, dict[str, ImportedSetting]] = {}
    for path, setting in settings.items():
        head, _, rest = path.partition(".")
        groups.setdefault(head, {})[rest] = setting
    for head in sorted(groups, key=lambda word: (_ORDER.index(word) if word in _ORDER else len(_ORDER), word)):
        group = groups[head]
        if "" in group:
            yield _commented(f"{indent}{head}: {group[''].text}", _source(group[""]))
        else:
            yield f"{indent}{head}:"
            yield from _settings(group, indent + "  ")


def _source(setting: ImportedSetting) -> str:
    note = setting.note
    given = "" if note.given is None else f" {note.given}"
    changed = f" ({note.text})" if note.kind is NoteKind.ADJUSTED else ""
    return f"{_file_name(note.file)}:{note.line} {note.key}{given}{changed}"


def _place(origin: ForeignValue) -> str:
    return f"{_file_name(origin.file)}:{origin.line}"


def _file_name(file: str) -> str:
    """Without its folder: the head of the document has the whole of it."""
    return PurePath(file).name


def _commented(text: str, comment: str) -> str:
    return f"{text:<{_COMMENT_COLUMN - 1}} # {_one_line(comment)}"


def _one_line(text: str) -> str:
    """Text that can not end the comment it stands in."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
