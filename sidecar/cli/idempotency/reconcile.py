"""`sidecar idempotency reconcile`: what a payment provider has and we do not, and the reverse."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from sidecar.cli.idempotency.admin_call import admin_options, call, give_up, read_scope

_AT_ONCE: Final = 500
"""Keys whose ids are asked for in one request."""


@dataclass(frozen=True, slots=True)
class KeyDifference:
    """One key of which both do not say the same. `row` is of the provider's file, from 1, its header included."""

    what: str
    digest: str | None
    row: int | None
    since: str | None


ONLY_PROVIDER: Final = "the provider has it, and we do not"
ONLY_OURS: Final = "we completed it, and the provider does not have it"
UNKNOWN_THERE: Final = "its outcome is unknown here, and the provider has it: resolve --applied"
UNKNOWN_NOT_THERE: Final = "its outcome is unknown here, and the provider does not have it: resolve --not-applied"
NO_KEY: Final = "the provider's row has nothing that could be a key"


def differences(
    theirs: Iterable[tuple[int, str | None]], ours: Mapping[str, tuple[str, str | None]]
) -> list[KeyDifference]:
    """The differences. `theirs` are rows with the ids of their keys; `ours` states and since when, by id."""
    found = []
    seen = set()
    for row, digest in theirs:
        if digest is None:
            found.append(KeyDifference(NO_KEY, None, row, None))
            continue
        seen.add(digest)
        state, since = ours.get(digest, (None, None))
        if state is None:
            found.append(KeyDifference(ONLY_PROVIDER, digest, row, None))
        elif state == "unknown":
            found.append(KeyDifference(UNKNOWN_THERE, digest, row, since))
    for digest, (state, since) in ours.items():
        if digest not in seen and state in ("completed", "unknown"):
            what = ONLY_OURS if state == "completed" else UNKNOWN_NOT_THERE
            found.append(KeyDifference(what, digest, None, since))
    return found


@click.command()
@click.option("--psp", "file", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The export: CSV.")
@click.option("--key-column", default="idempotency_key", show_default=True, help="Its column with the key.")
@click.option("--route", required=True, help="The route the keys were sent to, by its name.")
@click.option("--scope", multiple=True, metavar="HEADER:VALUE", help="The caller, by the route's scope headers.")
@admin_options
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def reconcile(
    *, file: Path, key_column: str, route: str, scope: tuple[str, ...], admin: str, token_file: Path, form: str
) -> None:
    """Compare the keys of a route with a payment provider's export, and say what only one of them has.

    Keys that are in flight are left alone. Exits with 1 if anything differs. With a `scope`, keys of other callers of
    the same route are ours alone: export what belongs to one caller, or leave the scope of the route empty.
    """
    rows = _rows(file, key_column)
    named = {"route": route, "scope": read_scope(scope)}
    ids: list[str | None] = []
    for at in range(0, len(rows), _AT_ONCE):
        keys = rows[at : at + _AT_ONCE]
        ids += call("reconcile", admin, token_file, "/idempotency/ids", {**named, "keys": keys})["ids"]
    listed = call("reconcile", admin, token_file, "/idempotency/list", {"route": route})["keys"]
    ours = {key["id"]: (key["state"], key["since"]) for key in listed}
    found = differences(list(enumerate(ids, 2)), ours)
    if form == "json":
        content = [{"what": each.what, "id": each.digest, "row": each.row, "since": each.since} for each in found]
        click.echo(json.dumps(content, indent=2))
    else:
        _tell(file, found, len(rows), len(ours))
    sys.exit(1 if found else 0)


def _tell(file: Path, found: Sequence[KeyDifference], theirs: int, ours: int) -> None:
    for each in found:
        where = f"{file}:{each.row}: " if each.row is not None else ""
        since = f", since {each.since}" if each.since is not None else ""
        click.echo(f"{where}{each.digest or ''}{': ' if each.digest else ''}{each.what}{since}")
    click.echo(f"{theirs} at the provider, {ours} here, {len(found)} differ")


def _rows(file: Path, key_column: str) -> list[str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if key_column not in (reader.fieldnames or ()):
                give_up("reconcile", f"{file}: has no column {key_column}")
            return [row[key_column] or "" for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        give_up("reconcile", f"{file}: can not be read: {getattr(error, 'strerror', None) or error}")
