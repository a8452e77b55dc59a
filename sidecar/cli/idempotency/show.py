"""`sidecar idempotency show`: one key with its journal, or all whose outcome is unknown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from sidecar.cli.idempotency.admin_call import admin_options, call, key_options, named_key


@click.command()
@key_options
@click.option("--unknown", is_flag=True, help="Every key whose outcome is unknown, the oldest first.")
@admin_options
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def show(
    *,
    digest: str | None,
    route: str | None,
    written: str | None,
    scope: tuple[str, ...],
    unknown: bool,
    admin: str,
    token_file: Path,
    form: str,
) -> None:
    """Show what a running sidecar knows of a key: its state, until when it is kept, and its journal.

    Exits with 1 where nothing is known of it, or, with --unknown, where there are any.
    """
    if unknown:
        keys = call("show", admin, token_file, "/idempotency/unknown", {})["keys"]
    else:
        keys = [call("show", admin, token_file, "/idempotency/show", named_key(digest, route, written, scope))]
    if form == "json":
        click.echo(json.dumps(keys if unknown else keys[0], indent=2))
    else:
        for key in keys:
            _tell(key)
        if unknown:
            click.echo(f"{len(keys)} {'key waits' if len(keys) == 1 else 'keys wait'} to be found out")
    if unknown and keys:
        raise SystemExit(1)


def _tell(key: Mapping[str, Any]) -> None:
    click.echo(
        f"{key['id']}  {key['state']}  route {key['route']}, since {key['since']}, kept until {key['kept_until']}"
    )
    for entry in key["journal"]:
        words = [str(entry[word]) for word in ("status", "why") if entry[word]]
        by = f" by {entry['by']}" if entry["by"] else ""
        click.echo(f"    {entry['at']}  {entry['event']}{by}{': ' if words else ''}{', '.join(words)}")
    if not key["journal_intact"]:
        click.echo("    the journal was changed by another hand: its digests do not fit")
