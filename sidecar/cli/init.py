"""`sidecar init`: a sidecar file and a policy to begin with, every line of which says what it does."""

import shlex
import sys
from pathlib import Path
from string import Template
from typing import Final

import click

from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.policy.bootstrap import from_flags

SIDECAR_FILE: Final = "sidecar.yaml"
POLICY_FILE: Final = "policy.yaml"

_SIDECAR: Final = Template("""\
# The sidecar of one service: whom it calls, and by which names. It belongs to the team of the service.
# Every setting: docs/settings.md, or `sidecar policy schema sidecar` for completion in an editor.
service: $service

admin: {listen: "127.0.0.1:16000"}     # the live page, health, metrics
policy: {file: policy.yaml}            # relative to this file

egress:
  listen: ["127.0.0.1:16001"]          # HTTP_PROXY=http://127.0.0.1:16001, or requests told apart by Host
  unlisted: forward                    # hosts not named below: under the policy's defaults; or refuse

destinations:
$destinations
drain: 25s                             # how long requests in flight may take to finish after SIGTERM
""")

_DESTINATION: Final = Template("""\
  $name:
    endpoints: [$endpoints]
    listen: "127.0.0.1:$port"           # a port of its own: point the client's base URL here, any Host will do
    # overrides: {timeout: 3s}         # inside the guardrails of the policy, or refused
""")

_POLICY: Final = """\
# The policy of the fleet. It belongs to the platform team; `version` rises with each change.
# What is not written here has the built-in value: `sidecar policy explain` shows every number and where it is from.
version: 1
owner: platform

# defaults:                            # for every destination; these are the built-in values
#   retry:
#     max_attempts: 3                  # includes the first
#     statuses: [429, 503]             # others are delivered as they are
#   budget: {ratio: 0.1, window: 10s}  # retries are paid for by requests: one for ten
# guardrails:
#   budget.ratio: {max: 0.2}           # as far as a team's `overrides` may go
# destinations:
#   payments: {timeout: 3s}
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--service", default="service", show_default=True, help="The name of the service.")
@click.option(
    "--upstream", "upstreams", multiple=True, metavar="NAME=URL", help="Whom it calls. [default: one to be changed]"
)
def init(*, folder: Path, service: str, upstreams: tuple[str, ...]) -> None:
    """Write a commented sidecar.yaml and policy.yaml into FOLDER, and say the next command.

    Nothing that is there already is written over.
    """
    asked = upstreams or ("payments=http://127.0.0.1:9001",)
    findings: list[Finding] = []
    bootstrap = from_flags(service, asked, None, None, None, findings)
    if findings:
        click.echo(str(InvalidDocument(findings)), err=True)
        sys.exit(2)
    destinations = "\n".join(
        _DESTINATION.substitute(
            name=name, endpoints=", ".join(f'"{endpoint}"' for endpoint in entry.endpoints), port=16101 + number
        )
        for number, (name, entry) in enumerate(bootstrap.sidecar.destinations.items())
    )
    texts = {
        SIDECAR_FILE: _SIDECAR.substitute(service=service, destinations=destinations),
        POLICY_FILE: _POLICY,
    }
    try:
        _write(folder, texts)
    except OSError as error:
        click.echo(f"sidecar init: {error.filename}: {error.strerror}", err=True)
        sys.exit(2)
    sidecar_file = shlex.quote(str(folder / SIDECAR_FILE))
    first = next(iter(bootstrap.sidecar.destinations))
    click.echo(f"written: {folder / SIDECAR_FILE}, {folder / POLICY_FILE}")
    if not upstreams:
        click.echo(f"Change the endpoint of {first} in {folder / SIDECAR_FILE} to whom the service really calls.")
    click.echo(f"Next:   sidecar policy check {shlex.quote(str(folder))}")
    click.echo(f"Then:   sidecar run --config {sidecar_file}")
    click.echo("and     curl -i http://127.0.0.1:16101/     (x-sidecar-attempts: 1 says that it went through)")


def _write(folder: Path, texts: dict[str, str]) -> None:
    """All of them, or none where one is there already."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in texts:
        if (folder / name).exists():
            raise FileExistsError(17, "is there already, and nothing is written over", str(folder / name))
    for name, text in texts.items():
        with (folder / name).open("x", encoding="utf-8") as file:
            file.write(text)
