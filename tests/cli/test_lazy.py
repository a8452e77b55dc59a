import subprocess
import sys

import click
from click.testing import CliRunner

from sidecar.cli import main
from sidecar.cli.lazy import LazyGroup
from sidecar.cli.policy import policy


def test_every_command_that_is_listed_is_there_and_has_help() -> None:
    for group in (main, policy):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)

            assert command is not None
            assert command.get_short_help_str()


def test_a_command_that_is_not_there_is_one_clear_message() -> None:
    result = CliRunner().invoke(main, ["polcy"])

    assert result.exit_code == 2
    assert "No such command 'polcy'" in result.output


def test_help_lists_the_commands_without_loading_them() -> None:
    code = "import sys\nfrom sidecar.cli import main\ntry:\n main(['--help'])\nexcept SystemExit:\n pass\n"
    code += "print('loaded:', [name for name in sys.modules if name.startswith('sidecar.cli.')])"

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout

    assert "demo" in printed
    assert "loaded: ['sidecar.cli.lazy']" in printed


def test_a_group_shows_its_commands_in_the_order_given() -> None:
    group = LazyGroup("group", "nowhere", {"zebra": "First.", "ape": "Second."}, help="Animals.")

    output = CliRunner().invoke(group, ["--help"]).output

    assert output.index("zebra") < output.index("ape")
