"""`sidecar policy import`: the retries of another proxy or library as a governed policy."""

import sys
from pathlib import Path

import click

from sidecar.cli import ending
from sidecar.governance.documents.finding import InvalidDocument
from sidecar.migration.foreign_document import SIZE_CEILING_BYTES
from sidecar.migration.import_report import as_json, as_text
from sidecar.migration.policy_import import DIALECTS, Imported, import_policy

_COMMAND = "sidecar policy import"
_POLICY_NAME = "policy.yaml"
_SIDECAR_NAME = "sidecar.yaml"


@click.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--from", "dialect", type=click.Choice(sorted(DIALECTS)), help="Read these documents only.  [default: detected]"
)
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Write policy.yaml and sidecar.yaml there.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.option("--owner", default="platform-reliability", show_default=True, help="Of the policy.")
@click.option("--service", default="imported", show_default=True, help="Whose sidecar file it is.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Of the report."
)
def import_(
    *, files: tuple[Path, ...], dialect: str | None, out: Path | None, force: bool, owner: str, service: str, form: str
) -> None:
    """Translate retries, timeouts and limits of Envoy, Istio, Linkerd or resilience4j into a policy.

    Without --out the policy goes to standard output and the report to standard error; with --format json one object
    has both.

    Exit codes: 0 all was translated as it stood; 1 something was changed, left out, or unsafe in the original; 2 a file
    can not be read or has nothing to import, and nothing is written.
    """
    try:
        imported = import_policy(
            [(str(file), _content(file)) for file in files],
            dialect=dialect,
            owner=owner,
            service=service,
            policy_file=_POLICY_NAME,
        )
    except InvalidDocument as error:
        ending.give_up(None, "\n".join(f"{_COMMAND}: {finding}" for finding in error.findings))
    if out is not None:
        _write(imported, out, force=force)
    if form == "json":
        click.echo(as_json(imported), nl=False)
    elif out is None:
        click.echo(imported.policy, nl=False)
        click.echo(as_text(imported), nl=False, err=True)
    else:
        click.echo(as_text(imported), nl=False)
    sys.exit(0 if imported.complete else 1)


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(SIZE_CEILING_BYTES + 1)
    except OSError as error:
        ending.give_up(_COMMAND, f"{file}: can not be read: {error.strerror or error}")


def _write(imported: Imported, out: Path, *, force: bool) -> None:
    """Write both documents, or neither."""
    texts = {out / _POLICY_NAME: imported.policy, out / _SIDECAR_NAME: imported.sidecar}
    there = [str(file) for file in texts if file.exists()]
    if there and not force:
        ending.give_up(_COMMAND, f"{there[0]}: is there already; --force writes over it")
    try:
        out.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        ending.give_up(_COMMAND, f"{out}: can not be written: {error.strerror or error}")
