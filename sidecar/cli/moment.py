"""An instant on a command line, for commands that can say what will be."""

from datetime import UTC, datetime

import click


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime:
    """The aware time that an option gives, as a click callback: UTC where it says no offset, now where it is absent."""
    if value is None:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        rule = f"must be a day or an instant like 2026-12-05 or 2026-12-05T18:00:00Z, got {value!r}"
        raise click.BadParameter(rule, ctx=ctx, param=param) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
