"""All of it, in order: the documents, the policy, ports, what is called, the clock, permissions, and what runs."""

import asyncio
import importlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import UNSET

from sidecar.doctor.clock import clock, lives
from sidecar.doctor.diagnosis import Check, Diagnosis, Mark, fine, found, unjudged
from sidecar.doctor.governed import governed
from sidecar.doctor.permissions import permissions
from sidecar.doctor.ports import Holders, ports, wanted
from sidecar.doctor.reachability import Contact, reach_all, reachability
from sidecar.doctor.rules import rules
from sidecar.doctor.running import companion, running
from sidecar.governance.documents.file import read_regular
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId
from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES
from sidecar.governance.policy.authority import authority_from
from sidecar.governance.policy.bootstrap import BootSource, Bootstrap
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.trust.certificates import Certificates, read_certificates
from sidecar.proxy.codecs import HTTP1
from sidecar.proxy.tls import originating

_STORE_PORTS = {"redis": 6379, "rediss": 6379, "valkey": 6379, "postgres": 5432, "postgresql": 5432}

UNSEEN: Final = "not looked at before the configuration is right"


class Unexaminable(Exception):
    """A document can not be read at all; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The start that is examined: the settings of `sidecar run`. `pod` is the name by which rollouts know it."""

    boot: BootSource
    authority: Path | None
    pod: str


def examine(subject: Subject, seconds: float, now: datetime) -> list[Diagnosis]:
    """Everything that can be said; each connection may take so many seconds. Raises Unexaminable."""
    findings: list[Finding] = []
    try:
        bootstrap = _bootstrap(subject, findings)
    except InvalidDocument as error:
        return list(_wrong(error.findings))
    if findings:
        return list(_wrong(findings))
    try:
        policy = asyncio.run(governed(bootstrap, subject.pod, now))
    except InvalidDocument as error:
        return list(_wrong(error.findings))
    return [
        *_config(bootstrap, policy.snapshot),
        *policy.diagnoses,
        *_examined(bootstrap, policy.snapshot, seconds, now),
    ]


def _bootstrap(subject: Subject, findings: list[Finding]) -> Bootstrap:
    boot = subject.boot
    content = None
    if boot.file is not None and (boot.file.exists() or not boot.optional):
        content = _content(boot.file)
    bootstrap = boot.read(content, findings)
    if subject.authority is not None:
        authority = authority_from(subject.authority, _content(subject.authority))
        bootstrap = bootstrap.under(authority, findings)
    return bootstrap


def _content(file: Path) -> bytes:
    try:
        return read_regular(file, SIZE_CEILING_BYTES)
    except OSError as error:
        raise Unexaminable(f"{file}: can not be read: {error.strerror or error}") from None


def _wrong(findings: "list[Finding] | tuple[Finding, ...]") -> Iterator[Diagnosis]:
    for finding in findings:
        if finding.rule_id == RuleId.UNREADABLE:
            cure = f"put the file there, readable for this user: ls -l {finding.file}"
        else:
            cure = "mend that line; docs/settings.md has every setting"
        yield found("config_invalid", str(finding), cure)
    for check in Check:
        if check is not Check.CONFIG:
            yield unjudged(check, UNSEEN, "mend the configuration first")


def _config(bootstrap: Bootstrap, snapshot: Snapshot) -> Iterator[Diagnosis]:
    for warning in snapshot.warnings:
        yield found("config_warns", warning, "sidecar explain config says where each value is from")
    file = "flags and variables" if bootstrap.file is None else str(bootstrap.file)
    count = len(snapshot.destinations)
    yield fine(Check.CONFIG, f"{file}: {snapshot.service}, {count} destination{'' if count == 1 else 's'}")


def _examined(bootstrap: Bootstrap, snapshot: Snapshot, seconds: float, now: datetime) -> Iterator[Diagnosis]:
    admin = snapshot.admin
    other = companion(admin, seconds) if admin.port else None
    answered = None if other is None else admin
    yield from ports(wanted(snapshot), answered)
    results = reach_all(list(_targets(bootstrap, snapshot)), seconds)
    yield from reachability(results, seconds)
    yield from clock(results)
    yield from lives(snapshot, results, now)
    yield from permissions(bootstrap, snapshot)
    yield from _store(snapshot)
    holder = None if answered is None else Holders().of(answered)
    intercepted = None if other is None else other.intercepted
    yield from rules(snapshot, sidecar_uid=None if holder is None else holder.uid, intercepted=intercepted)
    yield from running(admin, other)


def _targets(bootstrap: Bootstrap, snapshot: Snapshot) -> Iterator[Contact]:
    """Whatever the sidecar connects to, each once."""
    for name, destination in snapshot.destinations.items():
        context = None
        if destination.https:
            try:
                certificates = read_certificates(destination.tls.files)
            except InvalidDocument:
                certificates = Certificates()  # is told by the permissions; the handshake may do without
            context = originating(destination.tls, certificates, HTTP1.alpn).context
        for endpoint in destination.endpoints:
            tls = context if endpoint.scheme == "https" else None
            server_name = None if tls is None else destination.tls.server_name
            yield Contact(name, endpoint.host, endpoint.port, tls, server_name, asks=True)
    if snapshot.ingress is not None:
        yield Contact("ingress.app", snapshot.ingress.app.host, snapshot.ingress.app.port)
        store = snapshot.ingress.key_store
        if store is not None and store.kind in ("redis", "postgres"):
            url = urlsplit(store.place)
            if url.hostname:
                port = url.port or _STORE_PORTS.get(url.scheme, 0)
                yield Contact("ingress.idempotency.store", url.hostname, port, store=True)
    if snapshot.traces is not None and (url := urlsplit(snapshot.traces.endpoint)).hostname:
        yield Contact("traces.endpoint", url.hostname, url.port or (443 if url.scheme == "https" else 80))
    settings = bootstrap.policy
    if settings is not None and settings.url is not UNSET and (url := urlsplit(str(settings.url))).hostname:
        context = _authority_of_policy(bootstrap)
        yield Contact("policy.url", url.hostname, url.port or 443, context, asks=context is not None)


def _authority_of_policy(bootstrap: Bootstrap) -> ssl.SSLContext | None:
    settings = bootstrap.policy
    assert settings is not None
    try:
        if settings.ca is UNSET:
            return ssl.create_default_context()
        content = read_regular(bootstrap.policy_path(settings.ca), SIZE_CEILING_BYTES)
        return ssl.create_default_context(cadata=content.decode("ascii"))
    except (OSError, ValueError):
        return None  # the policy's own check has told it


def _store(snapshot: Snapshot) -> Iterator[Diagnosis]:
    """Whether keys are kept where all replicas see them. A file says how many there are only if its team wrote it."""
    ingress = snapshot.ingress
    if ingress is None or ingress.key_store is None:
        return
    kind = ingress.key_store.kind
    if kind in ("sqlite", "memory"):
        what = f"ingress.idempotency.store.{kind} is of this pod alone"
        cure = "with several replicas use redis or postgres; kubectl get deployment says how many there are"
        yield found("store_embedded", what, cure)
        return
    try:
        importlib.import_module(f"sidecar.idempotency.stores.{kind}")
    except ImportError:
        yield found("store_unfit", f"{kind} needs its extra", f"pip install 'retry-sidecar[{kind}]'")
        return
    yield fine(Check.STORE, f"{kind}, shared by all replicas")


def worst(diagnoses: list[Diagnosis]) -> int:
    """The exit code: 1 where anything is wrong, else 0."""
    return int(any(each.mark is Mark.TROUBLE for each in diagnoses))
