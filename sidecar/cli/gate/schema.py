"""`sidecar gate schema`: what an editor needs to complete and check config/gate.yaml."""

import click

from sidecar.governance.review.schema import written_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema (2020-12) of the rules of the gate.

    An editor that speaks to yaml-language-server uses it when the document's first line names it:
    `# yaml-language-server: $schema=gate.schema.json`.
    """
    click.echo(written_schema("gate"), nl=False)
