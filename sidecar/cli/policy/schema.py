"""`sidecar policy schema`: what an editor needs to complete and check a document."""

import click

from sidecar.governance.review.schema import SCHEMAS, written_schema


@click.command()
@click.argument("document", type=click.Choice(list(SCHEMAS)), default="policy")
def schema(*, document: str) -> None:
    """Print the JSON Schema (2020-12) of the platform's `policy` or `authority`, or of the service's `sidecar` file.

    An editor that speaks to yaml-language-server uses it for completion when the document's first line names it:
    `# yaml-language-server: $schema=policy.schema.json`.
    """
    click.echo(written_schema(document), nl=False)
