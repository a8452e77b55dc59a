"""A call of a running sidecar's admin plane, with its token: what commands that look at keys, or settle them, do."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from sidecar.cli import ending

_SECONDS = 10.0

F = TypeVar("F", bound=Callable[..., Any])


def admin_options(command: F) -> F:
    """`--admin` and `--token-file`, which every command of a running sidecar has."""
    command = click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        required=True,
        help="The file with the admin token (admin.token_file; the sidecar's first log line names it).",
    )(command)
    return click.option("--admin", default="http://127.0.0.1:16000", show_default=True, help="Its admin plane.")(
        command
    )


def key_options(command: F) -> F:
    """The options that name one key: its id, or its route, its text and its scope."""
    for option in (
        click.option(
            "--scope", multiple=True, metavar="HEADER:VALUE", help="A header of the route's scope, with its value."
        ),
        click.option("--key", "written", help="The key, as the client sent it."),
        click.option("--route", help="The route it was sent to, by its name."),
        click.option("--id", "digest", metavar="HEX", help="The key's id, as `show` gives it."),
    ):
        command = option(command)
    return command


def named_key(digest: str | None, route: str | None, written: str | None, scope: Sequence[str]) -> dict[str, object]:
    """The fields of a request that name a key. Exits with 2 where they name none, or two."""
    if (digest is None) == (written is None) or (written is not None and route is None):
        raise click.UsageError("name a key: --id HEX, or --route NAME --key KEY with its --scope")
    if digest is not None:
        return {"id": digest}
    return {"route": route, "key": written, "scope": read_scope(scope)}


def read_scope(scope: Sequence[str]) -> dict[str, list[str]]:
    """`HEADER:VALUE` by header, in lower case."""
    values: dict[str, list[str]] = {}
    for each in scope:
        name, separator, value = each.partition(":")
        if not separator:
            raise click.UsageError(f"--scope {each}: must be HEADER:VALUE")
        values.setdefault(name.strip().lower(), []).append(value.strip())
    return values


def call(command: str, admin: str, token_file: Path, path: str, content: Mapping[str, object] | None = None) -> Any:
    """The JSON that the admin plane answers; POST with `content`, else GET. Exits with 1 for a refusal, else 2."""
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        give_up(command, f"{token_file}: can not be read: {error.strerror or error}")
    request = urllib.request.Request(  # noqa: S310 - its scheme is looked at below
        f"{admin.rstrip('/')}{path}",
        data=None if content is None else json.dumps(content).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    if request.type not in ("http", "https"):
        give_up(command, f"--admin {admin}: must be an http or https URL")
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - looked at above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        detail = _detail(error)
        if error.code in (404, 409):
            click.echo(f"sidecar idempotency {command}: {detail}", err=True)
            sys.exit(1)
        give_up(command, f"{admin}: {detail}")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        give_up(command, f"{admin}: {reason}")


def give_up(command: str, message: str) -> NoReturn:
    """Say why nothing can be done, and exit with 2."""
    ending.give_up(f"sidecar idempotency {command}", message)


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"
