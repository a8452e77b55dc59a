"""Documents that a command works on: read and valid, or the command ends with exit code 2."""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import click
from msgspec import UNSET

from sidecar.cli import ending
from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES
from sidecar.governance.policy.authority import authority_from
from sidecar.governance.policy.bootstrap import Bootstrap, from_file
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.platform_policy import Platform
from sidecar.governance.policy.snapshot import Snapshot, compiled, local_delivery
from sidecar.governance.review.check import Candidate, DocumentKind, kind_of
from sidecar.net import redacted

_SUFFIXES = (".yaml", ".yml")


def policy_in(file: Path, command: str) -> Platform:
    """The valid policy in `file`."""
    findings: list[Finding] = []
    platform = Platform.read(Delivery(str(file), content_of(file, command)), findings)
    if findings:
        give_up(command, InvalidDocument(findings))
    return platform


def snapshot_of(config: Path, policy: Path | None, authority: Path | None, now: datetime, command: str) -> Snapshot:
    """The snapshot of a sidecar file, under the policy that it or `authority` names, or under `policy` instead."""
    findings: list[Finding] = []
    try:
        bootstrap = from_file(config, content_of(config, command), findings)
        if authority is not None:
            bootstrap = bootstrap.under(authority_from(authority, content_of(authority, command)), findings)
        settings = bootstrap.policy
        if policy is None and settings is not None and settings.url is not UNSET:
            click.echo(
                f"sidecar {command}: the policy is at {redacted(settings.url)}: give a copy of it, --policy FILE",
                err=True,
            )
            sys.exit(2)
        if policy is None:
            delivery = local_delivery(bootstrap, findings)
        else:
            delivery = Delivery(str(policy), content_of(policy, command))
        return compiled(bootstrap, delivery, findings, now)
    except InvalidDocument as error:
        give_up(command, error)


def sidecar_files(paths: Sequence[Path], command: str) -> list[Bootstrap]:
    """The sidecar files among `paths` and in the directories among them, each valid by itself."""
    bootstraps = []
    findings: list[Finding] = []
    for path in paths:
        found = list(documents_within(path)) if path.is_dir() else [path]
        for file in found:
            content = content_of(file, command)
            if path.is_dir() and kind_of(Candidate(str(file), content, named=False)) is not DocumentKind.SIDECAR:
                continue
            try:
                bootstraps.append(from_file(file, content, findings))
            except InvalidDocument as error:
                findings.extend(error.findings)
    if findings:
        give_up(command, InvalidDocument(findings))
    if paths and not bootstraps:
        click.echo(f"sidecar {command}: there is no sidecar file in {', '.join(map(str, paths))}", err=True)
        sys.exit(2)
    return bootstraps


def documents_within(directory: Path) -> Iterator[Path]:
    """The YAML files of a directory and those below it; hidden ones belong to tools."""
    for path in sorted(directory.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
        if path.suffix in _SUFFIXES and path.is_file() and not hidden:
            yield path


def content_of(file: Path, command: str) -> bytes:
    """The bytes of a file, at most one more than a document may have."""
    try:
        with file.open("rb") as stream:
            return stream.read(SIZE_CEILING_BYTES + 1)
    except OSError as error:
        click.echo(f"sidecar {command}: {file}: can not be read: {error.strerror or error}", err=True)
        sys.exit(2)


def give_up(command: str, error: InvalidDocument) -> NoReturn:
    """End the command: what it works on is not valid."""
    ending.give_up(f"sidecar {command}", f"not valid:\n{error}")
