"""`--authority`: the platform's file that says whose policy governs, of every command that reads a sidecar file."""

import sys
from pathlib import Path
from typing import Final

import click

from sidecar.governance.documents.finding import InvalidDocument
from sidecar.governance.policy.authority import FIXED_PLACE, VARIABLE, authority_file


def _chosen(context: click.Context, _parameter: click.Parameter, named: Path | None) -> Path | None:
    """The authority that counts; ends the command with exit code 2 where two of them contradict each other."""
    try:
        return authority_file(named)
    except InvalidDocument as error:
        click.echo(f"{context.command_path}: {error}", err=True)
        sys.exit(2)


authority_option: Final = click.option(
    "--authority",
    type=click.Path(path_type=Path),
    envvar=VARIABLE,
    callback=_chosen,
    help=f"The platform's file that names the policy, instead of the service's own. [{VARIABLE}; {FIXED_PLACE}]",
)
"""The option; its value is the authority that counts, or None."""
