"""`sidecar policy import`: foreign files in; a policy, a sidecar file's destinations and notes out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.migration import envoy_import, istio_import, linkerd_import, resilience4j_import
from sidecar.migration.foreign_document import ForeignValue, read_documents
from sidecar.migration.imported_documents import policy_text, sidecar_text
from sidecar.migration.translation import Note, NoteKind, Translation, ordered


@dataclass(frozen=True, slots=True)
class ForeignDialect:
    """A tool whose configuration is read."""

    name: str
    recognises: Callable[[ForeignValue], bool]
    read: Callable[[list[ForeignValue], Translation], None]


DIALECTS: Final[Mapping[str, ForeignDialect]] = {
    dialect.name: dialect
    for dialect in (
        ForeignDialect(istio_import.DIALECT, istio_import.has_istio, istio_import.import_istio),
        ForeignDialect(linkerd_import.DIALECT, linkerd_import.has_linkerd, linkerd_import.import_linkerd),
        ForeignDialect(
            resilience4j_import.DIALECT, resilience4j_import.has_resilience4j, resilience4j_import.import_resilience4j
        ),
        ForeignDialect(envoy_import.DIALECT, envoy_import.has_envoy, envoy_import.import_envoy),
    )
}
"""In the order in which a document is tried."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import. `policy` and `sidecar` are documents that `sidecar policy check` accepts."""

    policy: str
    sidecar: str
    notes: tuple[Note, ...]
    destinations: tuple[str, ...]
    read: Mapping[str, tuple[str, ...]]
    """The dialects found in each file."""

    @property
    def unsafe(self) -> tuple[Note, ...]:
        """The notes about what was unsafe in the original."""
        return tuple(note for note in self.notes if note.kind is NoteKind.UNSAFE)

    @property
    def complete(self) -> bool:
        """Whether every line was translated as it stood, and none was unsafe."""
        return all(note.kind is NoteKind.TRANSLATED for note in self.notes)


def import_policy(
    files: Sequence[tuple[str, bytes]], *, dialect: str | None, owner: str, service: str, policy_file: str
) -> Imported:
    """Import `files`, names and contents; documents of another dialect than `dialect` are left aside where it is given.

    Raises InvalidDocument: a file is no YAML, has nothing to import, or a value is not what its own tool accepts.
    """
    documents: dict[str, list[ForeignValue]] = {name: [] for name in DIALECTS}
    read: dict[str, tuple[str, ...]] = {}
    findings: list[Finding] = []
    for name, content in files:
        try:
            found = _sorted(read_documents(content, name), dialect, documents)
        except InvalidDocument as error:
            findings.extend(error.findings)
            continue
        if not found:
            wanted = "of " + dialect if dialect is not None else f"of {', '.join(sorted(DIALECTS))}"
            findings.append(Finding(name, None, "", f"has nothing {wanted} to import"))
        read[name] = found
    if findings:
        raise InvalidDocument(findings)
    translation = Translation()
    for each in DIALECTS.values():
        if documents[each.name]:
            each.read(documents[each.name], translation)
    if translation.findings:
        raise InvalidDocument(list(dict.fromkeys(translation.findings)))
    if not translation.destinations:
        names = ", ".join(name for name, _ in files)
        raise InvalidDocument([Finding(names, None, "", "names no service that is called")])
    translation.settle()
    sidecar = sidecar_text(translation, service, policy_file)
    return Imported(
        policy_text(translation, owner, [name for name, _ in files]),
        sidecar,
        tuple(ordered(translation.notes)),
        tuple(sorted(translation.destinations)),
        read,
    )


def _sorted(
    roots: list[ForeignValue], dialect: str | None, documents: dict[str, list[ForeignValue]]
) -> tuple[str, ...]:
    """Give each document, those of Kubernetes Lists apart, to the dialect it is of."""
    found: list[str] = []
    for root in roots:
        kind, items = root.get("kind"), root.get("items")
        parts = items.items() if kind is not None and (kind.text or "").endswith("List") and items is not None else []
        for document in parts or [root]:
            for each in DIALECTS.values():
                if each.recognises(document) and dialect in {None, each.name}:
                    documents[each.name].append(document)
                    found.append(each.name)
                    break
    return tuple(dict.fromkeys(found))
