"""Manifests, YAML or JSON with one document or several: where their pods are, and their text with sidecars."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId, dotted
from sidecar.inject.manifest_text import NotRewritable, edited, line_of, read, text_of
from sidecar.inject.patch import NoSuchPath, Path, Plain, at, prefixed
from sidecar.inject.pod import Injection, inject, opted_out, uninject, workload_name
from sidecar.inject.settings import InjectionSettings
from sidecar.inject.workload import PodProblem

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SIZE_CEILING_BYTES: Final = 16 << 20
DEPTH_CEILING: Final = 100

_TEMPLATE: Path = ("spec", "template")
_PODS: Final[dict[tuple[str, str], Path]] = {
    ("", "Pod"): (),
    ("", "ReplicationController"): _TEMPLATE,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
"""The path of the pod in each kind, by group and kind."""
_LIST_ENDING: Final = "List"


@dataclass(frozen=True, slots=True)
class PodPlace:
    """A pod in a document: the object that it belongs to, and where in the document it is."""

    kind: str
    name: str
    at: Path


@dataclass(slots=True)
class Rewritten:
    """A manifest's new text, and what became of each of its pods, as `Deployment/checkout: injected`."""

    text: str = ""
    outcomes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    changed: int = 0


def inject_manifest(content: bytes, file: str, settings: InjectionSettings) -> Rewritten:
    """The manifest with a sidecar in each pod, replaced where there is one. Raises InvalidDocument."""

    def change(text: str, place: PodPlace, findings: list[Finding], result: Rewritten) -> tuple[str, str]:
        if opted_out(at(read(text), place.at)):
            return text, "left as it is: its label sidecar.io/inject is disabled"
        bare, _ = _take_out(text, place, file, findings)
        pod = at(read(bare), place.at)
        found = inject(
            pod,
            settings,
            name=workload_name(pod) if place.kind == "Pod" else place.name,
            written=lambda path, value: text_of(bare, (*place.at, *path), value),
        )
        result.warnings.extend(f"{file}: {place.kind}/{place.name}: {warning}" for warning in found.warnings)
        return _made(bare, place, found, file, findings), "injected"

    return _rewritten(content, file, change)


def uninject_manifest(content: bytes, file: str) -> Rewritten:
    """The manifest from before its injection. Raises InvalidDocument with everything that is wrong."""

    def change(text: str, place: PodPlace, findings: list[Finding], _result: Rewritten) -> tuple[str, str]:
        return _take_out(text, place, file, findings)

    return _rewritten(content, file, change)


def pods_in(value: Plain) -> Iterator[PodPlace]:
    """The pods of a document's object, or of the objects in a List."""
    for at_object, obj in _objects(value, ()):
        group = str(obj.get("apiVersion", "")).rpartition("/")[0]
        kind = obj.get("kind")
        path = _PODS.get((group, kind)) if isinstance(kind, str) else None
        if path is not None:
            metadata = obj.get("metadata")
            name = metadata.get("name") or metadata.get("generateName") if isinstance(metadata, dict) else None
            yield PodPlace(str(kind), str(name or "").rstrip("-"), (*at_object, *path))


_Change = Callable[[str, PodPlace, list[Finding], Rewritten], tuple[str, str]]


def _rewritten(content: bytes, file: str, change: _Change) -> Rewritten:
    result = Rewritten()
    findings: list[Finding] = []
    texts = []
    for first_line, text in _documents(content, file):
        here: list[Finding] = []
        texts.append(_document(text, file, change, here, result))
        findings.extend(
            Finding(each.file, first_line + (each.line or 1), each.field, each.rule, each.value) for each in here
        )
    if findings:
        raise InvalidDocument(findings)
    result.text = "".join(texts)
    return result


def _document(text: str, file: str, change: _Change, findings: list[Finding], result: Rewritten) -> str:
    try:
        value = read(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        findings.append(
            Finding(file, 1 if mark is None else mark.line + 1, "", f"is not YAML: {said}", rule_id=RuleId.SYNTAX)
        )
        return text
    for place in pods_in(value):
        title = f"{place.kind}/{place.name}"
        try:
            pod = at(value, place.at)
        except NoSuchPath:
            pod = None
        if not isinstance(pod, dict):
            findings.append(
                Finding(file, line_of(text, place.at), dotted(place.at), "must be a mapping", rule_id=RuleId.TYPE)
            )
            continue
        try:
            changed, outcome = change(text, place, findings, result)
        except NotRewritable as error:
            findings.append(Finding(file, error.line, dotted(place.at), str(error)))
            continue
        result.changed += changed != text
        result.outcomes.append(
            f"{file}: {title}: {outcome}{'' if changed != text or outcome != 'injected' else ' already'}"
        )
        text = changed
    return text


def _take_out(text: str, place: PodPlace, file: str, findings: list[Finding]) -> tuple[str, str]:
    found = uninject(at(read(text), place.at))
    outcome = "taken out" if found.operations else "has none"
    return _made(text, place, found, file, findings), outcome


def _made(text: str, place: PodPlace, found: Injection, file: str, findings: list[Finding]) -> str:
    """The text with the changes made; with findings, as it was."""
    if found.problems:
        findings.extend(_finding(text, place, problem, file) for problem in found.problems)
        return text
    return edited(text, [prefixed(place.at, operation) for operation in found.operations])


def _finding(text: str, place: PodPlace, problem: PodProblem, file: str) -> Finding:
    path = (*place.at, *problem.path)
    return Finding(file, line_of(text, path), dotted(path), problem.rule, problem.value)


def _documents(content: bytes, file: str) -> Iterator[tuple[int, str]]:
    """The documents of a file as they are written, each with the number of lines before it."""
    if len(content) > SIZE_CEILING_BYTES:
        raise InvalidDocument(
            [Finding(file, None, "", "must be at most 16MiB", f"{len(content)} bytes", RuleId.BOUNDS)]
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidDocument([Finding(file, line, "", "must be UTF-8", rule_id=RuleId.SYNTAX)]) from None
    starts = list(_starts(text, file))
    starts[:1] = [0]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield text.count("\n", 0, start), text[start:end]


def _starts(text: str, file: str) -> Iterator[int]:
    """The offsets at which documents begin. Raises InvalidDocument for what is not YAML, or too deep."""
    depth = 0
    try:
        loader: Any = _LOADER(text)
        try:
            while loader.check_event():
                event: Any = loader.get_event()
                if isinstance(event, yaml.DocumentStartEvent):
                    start: Any = event.start_mark
                    yield start.index
                elif isinstance(event, yaml.CollectionStartEvent):
                    depth += 1
                elif isinstance(event, yaml.CollectionEndEvent):
                    depth -= 1
                if depth > DEPTH_CEILING:
                    line = event.start_mark.line + 1
                    raise InvalidDocument(
                        [
                            Finding(
                                file, line, "", f"must not be nested deeper than {DEPTH_CEILING}", rule_id=RuleId.BOUNDS
                            )
                        ]
                    )
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        raise InvalidDocument(
            [Finding(file, line, "", f"is not YAML: {error.problem or error.context}", rule_id=RuleId.SYNTAX)]
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidDocument([Finding(file, None, "", f"is not YAML: {error}", rule_id=RuleId.SYNTAX)]) from None


def _objects(value: Plain, path: Path) -> Iterator[tuple[Path, dict[str, Plain]]]:
    if not isinstance(value, dict):
        return
    items = value.get("items")
    if str(value.get("kind", "")).endswith(_LIST_ENDING) and isinstance(items, list):
        for index, item in enumerate(items):
            yield from _objects(item, (*path, "items", index))
    else:
        yield path, value
