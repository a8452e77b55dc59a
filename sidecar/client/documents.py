"""Reads the sidecar's two documents for a process: the same words, guardrails, exceptions and findings."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sidecar.client.dialect import ClientKeyDialect
from sidecar.client.json_key_places import JsonKeyPlaces
from sidecar.client.observer import CallObserver
from sidecar.client.retries import Retries
from sidecar.governance.documents.egress_keys import IdempotencyKeySettings
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.json_pointer import JsonPointer
from sidecar.governance.policy.bootstrap import from_file
from sidecar.governance.policy.snapshot import Snapshot, compiled, local_delivery
from sidecar.governance.policy.snapshot import load as load_snapshot
from sidecar.idempotency.key_form import KeyForm

VALUES: str = "values"
"""The name of a document in findings that was given as values."""


def load(sidecar_file: str | Path, *, observer: CallObserver | None = None) -> Retries:
    """The destinations of a sidecar file, under the policy that it names.

    Listeners, ingress and admin are a sidecar's business and have no effect here. Read once: a policy that changes is
    for the next start. Raises InvalidDocument with everything that is wrong in both.
    """
    return _retries(load_snapshot(Path(sidecar_file), datetime.now(UTC)), observer)


def of_values(
    service: str,
    destinations: Mapping[str, Mapping[str, Any]],
    *,
    policy: str | Path | None = None,
    observer: CallObserver | None = None,
) -> Retries:
    """The same from values: `destinations` as in a sidecar file, `policy` the platform's file, or the baseline.

    A destination without `endpoints` is called by its name. Raises InvalidDocument, which names `values` for a file.
    """
    document: dict[str, Any] = {
        "service": service,
        "destinations": {
            name: {"endpoints": [f"http://{name}"], **entry} if isinstance(entry, Mapping) else entry
            for name, entry in destinations.items()
        },
    }
    if policy is not None:
        document["policy"] = {"file": str(Path(policy).absolute())}
    findings: list[Finding] = []
    content = json.dumps(document).encode()  # JSON is YAML, and strict about what it is
    bootstrap = from_file(Path(VALUES), content, findings)
    return _retries(compiled(bootstrap, local_delivery(bootstrap, findings), findings, datetime.now(UTC)), observer)


def _retries(snapshot: Snapshot, observer: CallObserver | None) -> Retries:
    return Retries(
        {name: destination.policy for name, destination in snapshot.destinations.items()},
        {host: name for name, destination in snapshot.destinations.items() for host in destination.hosts},
        snapshot.unlisted,
        observer=observer,
        dialects={name: _dialect(destination.key) for name, destination in snapshot.destinations.items()},
    )


def _dialect(key: IdempotencyKeySettings) -> ClientKeyDialect:
    terms = key.with_preset
    source = terms.key_from
    location = None if terms.location is None else JsonPointer(terms.location).tokens
    from_body = JsonPointer(source).tokens if source is not None and source.startswith("/") else None
    return ClientKeyDialect(
        terms.header,
        KeyForm(quoted=terms.quoted, max_length=terms.max_length, charset=terms.charset),
        from_header=None if source is None or from_body is not None else source,
        places=None if location is None and from_body is None else JsonKeyPlaces(location, from_body),
    )
