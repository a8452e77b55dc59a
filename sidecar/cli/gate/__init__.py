"""`sidecar gate`: the review gate over API descriptions. Without a command it judges the files it is given."""

from typing import Final

import click

from sidecar.cli.lazy import LazyGroup

_COMMANDS: Final = {
    "check": "Judge descriptions: what `sidecar gate FILE...` does.",
    "fix": "Write a strategy and what proves it into a description.",
    "explain": "Say why a finding is one, and what mends it.",
    "schema": "Print the JSON Schema of config/gate.yaml, for editors.",
}


class GateGroup(LazyGroup):
    """Commands, and `check` for everything else, so that the gate is called with files as every linter is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """A first word that is no command is a file or an option of `check`."""
        if args and args[0] not in _COMMANDS and args[0] not in {"-h", "--help"}:
            args = ["check", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Both forms."""
        formatter.write_usage(ctx.command_path, "[OPTIONS] OPENAPI...")
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...")


gate: Final = GateGroup(
    "gate",
    "sidecar.cli.gate",
    _COMMANDS,
    help="Is every operation that moves money safe to repeat? Judges OpenAPI, Swagger 2.0 and AsyncAPI 3 descriptions "
    "by config/gate.yaml. `sidecar gate check --help` has the options.",
)
