"""`sidecar gate fix FILE --operation ID --strategy key`: the work that a finding asks for, done."""

import difflib
from datetime import UTC, datetime
from pathlib import Path

import click

from sidecar.cli.ending import give_up
from sidecar.cli.gate.rules import rules_in
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.review.insertion import NotEditable
from sidecar.review.judge import Bench
from sidecar.review.repair import Repair, RepairedStrategy, repaired, written
from sidecar.review.repository import shown_path


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--operation", required=True, metavar="ID", help="The operationId, or method and path: 'POST /payments'.")
@click.option("--strategy", required=True, type=click.Choice(["key", "conditional"]), help="What is written.")
@click.option(
    "--rules",
    "rules_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The rules. [default: config/gate.yaml, else the ones that are built in]",
)
@click.option("--diff", is_flag=True, help="Only print what would change.")
def fix(*, file: Path, operation: str, strategy: RepairedStrategy, rules_file: Path | None, diff: bool) -> None:
    """Write a strategy into FILE: the declaration, the required header, the responses, the retention.

    Comments, order and layout stay as they are; what other operations share is not touched.

    Exit codes: 0 the operation is proven now; 2 it can not be done, and nothing is changed.
    """
    bench = Bench(rules_in(rules_file), datetime.now(UTC))
    try:
        repair = repaired(bench, str(file.absolute()), operation, strategy)
    except InvalidDocument as error:
        give_up("sidecar gate fix", f"not valid:\n{error}")
    except NotEditable as error:
        give_up("sidecar gate fix", str(error))
    except OSError as error:
        give_up("sidecar gate fix", f"{file}: can not be read: {error.strerror or error}")
    for line in _difference(repair):
        click.echo(line)
    if not diff and repair.new != repair.old:
        try:
            written(repair)
        except OSError as error:
            give_up("sidecar gate fix", f"{shown_path(repair.path)}: can not be written: {error.strerror or error}")
    if repair.new == repair.old:
        click.echo(f"{operation} has all that {strategy} needs")


def _difference(repair: Repair) -> list[str]:
    name = shown_path(repair.path)
    lines = difflib.unified_diff(repair.old.splitlines(), repair.new.splitlines(), name, name, lineterm="")
    return list(lines)
