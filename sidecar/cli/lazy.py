"""Groups of commands by name, each command in a module of its own that is loaded only when it is called."""

import importlib
import keyword
from collections.abc import Mapping

import click


class LazyGroup(click.Group):
    """`commands` has one line about each command; a command `x` is the function `x` of the module `package.x`.

    Where `x` is a keyword of Python, both are called `x_`.

    What one command imports, another must not pay for: `sidecar run` starts without what `sidecar demo` draws with.
    """

    def __init__(self, name: str, package: str, commands: Mapping[str, str], **settings: object) -> None:
        super().__init__(name, **settings)  # type: ignore[arg-type]
        self._package = package
        self._lines = commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which they are best read."""
        del ctx
        return list(self._lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, its module loaded now."""
        del ctx
        if cmd_name not in self._lines:
            return None
        name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command = getattr(importlib.import_module(f"{self._package}.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The lines, without loading any module."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lines.items()))
