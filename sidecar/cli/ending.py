"""The end of a command that can not do its job: one message on standard error, and exit code 2."""

import sys
from typing import NoReturn

import click


def give_up(command: str | None, message: str) -> NoReturn:
    """Say why, after the command's name where the message does not carry it, and exit with 2."""
    click.echo(message if command is None else f"{command}: {message}", err=True)
    sys.exit(2)
