"""The report of an import: for people, and as JSON for tools."""

import json
from collections.abc import Iterator
from typing import Final

from sidecar.migration.policy_import import Imported
from sidecar.migration.translation import Note, NoteKind

_TITLES: Final = {
    NoteKind.UNSAFE: "Unsafe in the original",
    NoteKind.NOT_TRANSLATED: "Not translated",
    NoteKind.ADJUSTED: "Translated, and changed",
    NoteKind.TRANSLATED: "Translated",
}
_FIELD_CHARACTERS: Final = 60


def as_text(imported: Imported) -> str:
    """Four parts, what matters most first; each line begins with `file:line`."""
    lines: list[str] = []
    for kind, title in _TITLES.items():
        notes = [note for note in imported.notes if note.kind is kind]
        if notes:
            lines.append(f"{title} ({len(notes)})")
            lines.extend(f"  {line}" for note in notes for line in _told(note))
            lines.append("")
    lines.append(_sum(imported))
    return "\n".join(lines) + "\n"


def as_json(imported: Imported) -> str:
    """One object: `policy`, `sidecar`, `destinations`, `files`, `notes`; keys may be added, never renamed."""
    return (
        json.dumps(
            {
                "policy": imported.policy,
                "sidecar": imported.sidecar,
                "destinations": list(imported.destinations),
                "files": {name: list(dialects) for name, dialects in imported.read.items()},
                "notes": [_object(note) for note in imported.notes],
            },
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )


def _told(note: Note) -> Iterator[str]:
    given = "" if note.given is None else f": {note.given}"
    code = "" if note.code is None else f" [{note.code}]"
    became = "" if note.setting is None else f" -> {note.destination}: {note.setting} {note.result}"
    yield f"{note.place} {_short(note.field)}{given}{became}{code}"
    if note.text:
        yield f"    {note.text}"


def _short(field: str) -> str:
    """The end of a long path: the line says where the whole of it stands."""
    return field if len(field) <= _FIELD_CHARACTERS else "…" + field[1 - _FIELD_CHARACTERS :]


def _object(note: Note) -> dict[str, object]:
    written = {
        "kind": note.kind.value,
        "code": note.code,
        "file": note.file,
        "line": note.line,
        "field": note.field,
        "given": note.given,
        "destination": note.destination,
        "setting": note.setting,
        "result": note.result,
        "text": note.text or None,
    }
    return {key: value for key, value in written.items() if value is not None}


def _sum(imported: Imported) -> str:
    counts = {kind: sum(note.kind is kind for note in imported.notes) for kind in NoteKind}
    destinations = len(imported.destinations)
    return (
        f"{destinations} destination{'' if destinations == 1 else 's'}: {counts[NoteKind.TRANSLATED]} translated, "
        f"{counts[NoteKind.ADJUSTED]} changed, {counts[NoteKind.NOT_TRANSLATED]} not translated, "
        f"{counts[NoteKind.UNSAFE]} unsafe in the original"
    )
