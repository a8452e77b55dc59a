"""What the commands' options have in common, and how a command ends when it cannot go on."""

import os
import signal
from pathlib import Path
from types import FrameType
from typing import IO, Any

import click


class CannotRunError(click.ClickException):
    """One line on standard error."""

    exit_code = 2


class StoppedError(click.ClickException):
    """Ctrl-C or SIGTERM."""

    exit_code = 128 + signal.SIGINT


def end_as_by_ctrl_c() -> None:
    """Let SIGTERM clean up as SIGINT does.

    As one, not like one: whoever runs an event loop takes SIGINT as the wish to be cancelled, while an exception out of
    nowhere may be raised where nobody passes it on.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGTERM, signal.default_int_handler if ignored else _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def names(
    known: tuple[str, ...], ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """An option's names with commas between them, or `all`, in the order in which they are known."""
    if value is None or value == "all":
        return known if value else None
    given = [name.strip() for name in value.split(",")]
    if unknown := [name for name in given if name not in known]:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(known)}, all.", ctx, param)
    return tuple(name for name in known if name in given)


def opened(ctx: click.Context, path: str) -> IO[Any]:
    """Open before the measurement, not after it, so that a wrong path costs no minutes."""
    try:
        return ctx.with_resource(click.open_file(path, "w"))
    except OSError as error:
        raise CannotRunError(f"--json: {path}: {error.strerror}") from error


def executables(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    """Sidecars beside this checkout's own, each `NAME=PATH` of a `sidecar` command: by name."""
    found = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not (name and equals and path):
            raise click.BadParameter(f"must be NAME=PATH, got {value!r}", ctx, param)
        if not os.access(path, os.X_OK) or Path(path).is_dir():
            raise click.BadParameter(f"{path} is no program that can be run", ctx, param)
        found[name] = Path(path).resolve()
    return found
