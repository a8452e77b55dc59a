"""The command `sidecar`: one module per command, each loaded only when it is called.

Exit codes: 0 fine, 1 findings, 2 could not judge or run.
"""

import importlib
from typing import Final

import click

from sidecar import __version__

_COMMANDS: Final = {
    "run": "Run the proxy.",
    "demo": "Show what retries do to a dependency that blips, with and without the sidecar.",
}


class _Commands(click.Group):
    """Commands by name; `sidecar run` must not pay for what `sidecar demo` imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(f"sidecar.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sidecar")
def main() -> None:
    """Retries as a fleet property: a proxy beside each service that owns its retries."""
