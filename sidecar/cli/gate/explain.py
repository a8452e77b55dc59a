"""`sidecar gate explain ID`: a finding's page, where its repository is not at hand."""

import click

from sidecar.review.catalogue import BY_ID
from sidecar.review.pages import page_of


@click.command()
@click.argument("rule", type=click.Choice(list(BY_ID)))
def explain(*, rule: str) -> None:
    """Say why a finding is one, and what mends it, with an example."""
    click.echo(page_of(BY_ID[rule]), nl=False)
