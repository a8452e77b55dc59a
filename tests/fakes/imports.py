"""Imports of foreign retry configuration, and what came of them, in short."""

import json

from sidecar.migration.policy_import import Imported, import_policy
from sidecar.migration.translation import Note, NoteKind


def imported(*texts: str, dialect: str | None = None) -> Imported:
    """Import texts, called a.yaml, b.yaml …"""
    files = [(f"{chr(ord('a') + index)}.yaml", text.encode()) for index, text in enumerate(texts)]
    return import_policy(files, dialect=dialect, owner="platform", service="shop", policy_file="policy.yaml")


def codes(result: Imported) -> set[str]:
    return {note.code for note in result.unsafe if note.code is not None}


def settings(result: Imported) -> dict[str, str]:
    """What each destination's (or route's) settings became, as `payments: timeout`."""
    kinds = {NoteKind.TRANSLATED, NoteKind.ADJUSTED}
    return {f"{note.destination}: {note.setting}": str(note.result) for note in result.notes if note.kind in kinds}


def left(result: Imported) -> list[Note]:
    return [note for note in result.notes if note.kind is NoteKind.NOT_TRANSLATED]


def envoy_route(policy: object, **action: object) -> str:
    """A virtual host with one route to the cluster payments."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": "payments", "retry_policy": policy, **action}}
    return json.dumps({"virtual_hosts": [{"name": "v", "domains": ["payments"], "routes": [route]}]})
