"""`sidecar idempotency resolve`: a person who has found out settles an unknown outcome."""

from pathlib import Path

import click

from sidecar.cli.idempotency.admin_call import admin_options, call, give_up, key_options, named_key


@click.command()
@key_options
@click.option("--applied", "outcome", flag_value="applied", help="It was done: retries get the answer given here.")
@click.option("--not-applied", "outcome", flag_value="not_applied", help="It was not done: a retry is run.")
@click.option("--by", required=True, help="Who has found out.")
@click.option("--reason", required=True, help="How; 10 characters or more. It stands in the key's journal.")
@click.option("--status", type=click.IntRange(200, 499), default=204, show_default=True, help="Of the answer.")
@click.option(
    "--body", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="A file with the answer's body."
)
@click.option("--content-type", default="application/json", show_default=True, help="Of that body.")
@admin_options
def resolve(
    *,
    digest: str | None,
    route: str | None,
    written: str | None,
    scope: tuple[str, ...],
    outcome: str | None,
    by: str,
    reason: str,
    status: int,
    body: Path | None,
    content_type: str,
    admin: str,
    token_file: Path,
) -> None:
    """Settle a key whose outcome is unknown, in a running sidecar. It is in the key's journal, and in the log.

    Exits with 1 where the key's outcome is not unknown.
    """
    if outcome is None:
        raise click.UsageError("say how it ended: --applied or --not-applied")
    try:
        text = "" if body is None else body.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        give_up("resolve", f"{body}: can not be read: {error}")
    content = {
        **named_key(digest, route, written, scope),
        "outcome": outcome,
        "by": by,
        "reason": reason,
        "status": status,
        "content_type": content_type,
        "body": text,
    }
    key = call("resolve", admin, token_file, "/idempotency/resolve", content)
    click.echo(f"{key['id']}  {key['state']}")
