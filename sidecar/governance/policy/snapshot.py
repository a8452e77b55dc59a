"""The configuration in force: both documents, judged and compiled to one immutable value.

Loading is one straight line: read once into memory, parse strictly, types, guardrails and exceptions, compile. A
snapshot is complete; a reload makes another, and so does the instant at which an exception begins or ends.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import UNSET, Struct, UnsetType, structs
from msgspec.structs import replace

from sidecar import __version__
from sidecar.engine.policy import DestinationPolicy
from sidecar.governance.documents.document import (
    INGRESS_NAME,
    DestinationEntry,
    Rollout,
)
from sidecar.governance.documents.egress_keys import IdempotencyKeySettings
from sidecar.governance.documents.file import read_regular
from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId, dotted, shown
from sidecar.governance.documents.key_presets import PRESETS
from sidecar.governance.documents.limits import WireLimits
from sidecar.governance.documents.settings import KeySettings, Settings
from sidecar.governance.documents.sidecar_version import SidecarVersion
from sidecar.governance.documents.units import Duration
from sidecar.governance.documents.yaml import SIZE_CEILING_BYTES, Tree
from sidecar.governance.documents.yaml import Path as TreePath
from sidecar.governance.policy.bootstrap import Bootstrap
from sidecar.governance.policy.bootstrap import from_file as bootstrap_from_file
from sidecar.governance.policy.bootstrap import from_flags as bootstrap_from_flags
from sidecar.governance.policy.contract import MAX_REQUEST_BYTES, IngressRoute, KeyStore, key_store_of, routes_of
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.ingress import INGRESS_BASELINE
from sidecar.governance.policy.partner_contract import FIRST_VERSION, ContractVersion, partner_contract
from sidecar.governance.policy.platform_policy import Platform
from sidecar.governance.policy.resolve import Excepted, Layer, Origin, Resolution, Source
from sidecar.governance.policy.routes import RouteSnapshot, routes_in_force
from sidecar.governance.policy.tls import USUAL, Origination, Termination, origination_of, termination_of
from sidecar.governance.policy.waivers import Exemptions, Grant, State, begins_at, ends_at, state_of
from sidecar.governance.trust.certificates import CertificateFiles
from sidecar.net import Address, AddressRange, Endpoint


class DestinationSnapshot(Struct, frozen=True):
    """One destination. Requests that come in on one of `listen` are for it, whatever their Host."""

    name: str
    endpoints: tuple[Endpoint, ...]
    hosts: frozenset[str]
    """Lower-cased, with a port or for any; IPv6 addresses in brackets, as a Host header has them."""
    listen: tuple[Address, ...]
    policy: DestinationPolicy
    provenance: Mapping[str, Origin]
    """The origin of every setting, by dotted path."""
    key: IdempotencyKeySettings
    """The contract about idempotency keys as the team wrote it; what is in force of it is in `policy`."""
    resolution: Resolution
    """The layers that its settings come from."""
    routes: tuple[RouteSnapshot, ...] = ()
    """Settings by method and path, the first that covers a request counts."""
    tls: Origination = USUAL
    """The TLS of connections to https endpoints."""
    left_out: tuple[Finding, ...] = ()
    """Overrides that are not in force: see `Snapshot.left_out`."""

    @property
    def https(self) -> bool:
        """Whether any endpoint is spoken to in TLS."""
        return any(endpoint.scheme == "https" for endpoint in self.endpoints)

    @property
    def excepted(self) -> Mapping[str, Excepted]:
        """The settings whose number depends on an exception, by dotted path."""
        return self.resolution.excepted


class EgressSnapshot(Struct, frozen=True):
    """The shared listeners; `unlisted` is forward or refuse, `connect` is tunnel, refuse or refuse_governed.

    `allow` has the addresses that may be called though they are refused by default; `transparent` has the listeners
    that intercepted connections come in on.
    """

    listen: tuple[Address, ...]
    unlisted: str
    connect: str
    allow: tuple[AddressRange, ...] = ()
    transparent: tuple[Address, ...] = ()


class IngressSnapshot(Struct, frozen=True):
    """The listener in front of the service, and the service. `tls` None: callers are spoken to in clear."""

    listen: Address
    app: Endpoint
    policy: DestinationPolicy
    provenance: Mapping[str, Origin]
    resolution: Resolution
    """The layers that its settings come from."""
    routes: tuple[IngressRoute, ...] = ()
    """The first that matches a request is its route."""
    key_store: KeyStore | None = None
    tls: Termination | None = None
    left_out: tuple[Finding, ...] = ()
    """Overrides that are not in force: see `Snapshot.left_out`."""
    contract_version: ContractVersion = FIRST_VERSION

    @property
    def contract(self) -> dict[str, Any]:
        """The contract as partners are given it."""
        largest = MAX_REQUEST_BYTES if self.key_store is None else self.key_store.max_request_bytes
        return partner_contract(self.routes, largest, self.contract_version)


class TracesSnapshot(Struct, frozen=True):
    """The receiver of spans, and the share of requests without a traceparent that begin a trace."""

    endpoint: str
    sample: float


class Snapshot(Struct, frozen=True):
    """Everything a sidecar runs by. Times are seconds."""

    version: int
    """Of the policy; 0 when it is the compiled-in one."""
    owner: str
    digest: str
    """SHA-256, in hex, of the exact bytes of the files read, the sidecar file first."""
    files: tuple[Path, ...]
    """The files it was read from, the ones to watch."""
    service: str
    destinations: Mapping[str, DestinationSnapshot]
    unlisted: DestinationPolicy
    """Of hosts that no destination names: the defaults."""
    unlisted_provenance: Mapping[str, Origin]
    egress: EgressSnapshot
    admin: Address
    metrics_listen: Address | None
    admin_token_file: Path | None
    """Holds the token that changes through admin must show; None where the sidecar makes one at start."""
    limits: WireLimits
    via: bool
    access_log_sample: float
    drain: float
    minimum_drain: float
    ingress: IngressSnapshot | None
    traces: TracesSnapshot | None
    warnings: tuple[str, ...]
    """Warnings about settings that do not have the effect that their names suggest, one line each."""
    documents: "Documents"
    exceptions: tuple[Grant, ...]
    """Those of the policy that are for this service."""
    states: tuple[State, ...]
    """Theirs, when this snapshot was resolved."""
    policy_digest: str = ""
    """SHA-256, in hex, of the exact bytes of the policy; the same in the whole fleet. Empty for the compiled-in one."""
    expires: datetime | None = None
    """When the policy should have been replaced; UTC."""
    min_sidecar: SidecarVersion | None = None
    """The oldest sidecar that does all that the policy says."""
    rollout: Rollout | None = None
    dry_run: bool = False

    @property
    def outdated(self) -> bool:
        """Whether this sidecar is older than the policy asks for."""
        return self.min_sidecar is not None and self.min_sidecar.newer_than(__version__)

    @property
    def managed(self) -> bool:
        """Whether the platform's authority file names the policy, and not the service's own."""
        return self.documents.bootstrap.authority is not None

    @property
    def resolutions(self) -> Mapping[str, Resolution]:
        """The resolution of each destination, and of each of its routes: `payments`, `payments.reports`.

        The way to the service is `ingress`.
        """
        found = {name: destination.resolution for name, destination in self.destinations.items()}
        for name, destination in self.destinations.items():
            found |= {f"{name}.{route.name}": route.resolution for route in destination.routes}
        return found if self.ingress is None else {**found, INGRESS_NAME: self.ingress.resolution}

    @property
    def left_out(self) -> Mapping[str, tuple[Finding, ...]]:
        """Overrides that are not in force because the exception they need is over, by destination that has any.

        Where documents are judged they are refused. A sidecar that meets them runs without them: a pod that restarts
        must not die of what ends by itself. On the baseline they are those that only the missing policy could allow.
        """
        found = {name: destination.left_out for name, destination in self.destinations.items()}
        if self.ingress is not None:
            found[INGRESS_NAME] = self.ingress.left_out
        return {name: findings for name, findings in found.items() if findings}

    @property
    def unannounced(self) -> tuple[Finding, ...]:
        """Findings about a contract with partners that has changed without its number.

        A sidecar says so and runs on: what the platform changes is not refused for what a team has not written yet.
        """
        return tuple(_unannounced(self.documents.bootstrap, self.ingress))

    @property
    def waiting(self) -> Iterator[Finding]:
        """A note for each number that waits for its exception to begin."""
        for name, resolution in self.resolutions.items():
            destination, dot, route = name.partition(".")
            where = "ingress.overrides" if name == INGRESS_NAME else f"destinations.{destination}.overrides"
            where = f"destinations.{destination}.routes.{route}" if dot else where
            for setting, excepted in resolution.excepted.items():
                asked, begin = excepted.asked, excepted.grant.exception.not_before
                if excepted.state is State.PENDING and asked.file is not None:
                    yield Finding(
                        asked.file,
                        asked.line,
                        f"{where}.{setting}",
                        f"{asked.value} is set aside: {excepted.grant} is not live before {begin}; "
                        f"in force is {resolution.provenance[setting].value}",
                        rule_id=RuleId.EXCEPTION_LIFE,
                    )

    @property
    def turns(self) -> Iterator[datetime]:
        """The instants at which `at` may come to something else: exceptions begin and end."""
        for grant in self.exceptions:
            yield begins_at(grant.exception)
            yield ends_at(grant.exception)

    @property
    def certificate_files(self) -> tuple[CertificateFiles, ...]:
        """The files that are needed to speak TLS as it says, by block."""
        files = [destination.tls.files for destination in self.destinations.values() if destination.https]
        if self.ingress is not None and self.ingress.tls is not None:
            files.append(self.ingress.tls.files)
        return tuple(files)

    def at(self, now: datetime) -> "Snapshot":
        """The same documents at another instant: itself, unless an exception has begun or ended in between.

        A number whose exception is over is what it would be without the override.
        """
        if tuple(state_of(grant.exception, now) for grant in self.exceptions) == self.states:
            return self
        return _resolved(self.documents, now)


def load(sidecar_file: Path, now: datetime) -> Snapshot:
    """Read the sidecar file and the policy file it names, relative to its folder; without one the baseline is in force.

    `now` is an aware time. Raises InvalidDocument with everything that is wrong in both.
    """
    findings: list[Finding] = []
    content = _read(sidecar_file, findings)
    if content is None:
        raise InvalidDocument(findings)
    bootstrap = bootstrap_from_file(sidecar_file, content, findings)
    return compiled(bootstrap, local_delivery(bootstrap, findings), findings, now)


def from_flags(
    service: str, upstreams: Sequence[str], listen: str | None, policy_file: Path | None, now: datetime
) -> Snapshot:
    """A snapshot without a sidecar file: see `bootstrap.from_flags`. Raises InvalidDocument."""
    findings: list[Finding] = []
    bootstrap = bootstrap_from_flags(service, upstreams, listen, policy_file, None, findings)
    return compiled(bootstrap, local_delivery(bootstrap, findings), findings, now)


def local_delivery(bootstrap: Bootstrap, findings: list[Finding]) -> Delivery | None:
    """The policy in the file that is named, unsigned and at once; None when none is, or, with a finding, unreadable."""
    file = bootstrap.policy_file
    content = None if file is None else _read(file, findings)
    return None if file is None or content is None else Delivery(str(file), content)


def compiled(bootstrap: Bootstrap, delivery: Delivery | None, findings: list[Finding], now: datetime) -> Snapshot:
    """Both documents, as the snapshot they amount to at `now`; without a policy the baseline.

    What is wrong only because an exception is over is `left_out` of it. Raises InvalidDocument with `findings` and
    everything else that is wrong.
    """
    platform = Platform.read(delivery, findings)
    documents = Documents(bootstrap, platform)
    snapshot = _resolved(documents, now)
    if delivery is not None and platform.tree is None:
        raise InvalidDocument(findings)  # guardrails that would not be in force refuse nothing
    left_out = [finding for each in snapshot.left_out.values() for finding in each]
    if findings or (left_out and _resolved(documents, now, forgiving=True).left_out):
        raise InvalidDocument(sorted((*findings, *left_out), key=lambda finding: (finding.file, finding.line or 0)))
    return snapshot


def baseline(bootstrap: Bootstrap, now: datetime) -> Snapshot:
    """The snapshot while no valid policy can be had: the compiled-in one, whatever the documents say.

    Overrides that only the missing policy could allow are left out, and each is a warning.
    """
    snapshot = _resolved(Documents(bootstrap, Platform.read(None, [])), now)
    return replace(snapshot, warnings=bootstrap.warnings)


def digest_of(contents: Iterable[bytes]) -> str:
    """SHA-256, in hex, of the contents one after the other."""
    return hashlib.sha256(b"".join(contents)).hexdigest()


class Documents(Struct, frozen=True):
    """Both documents, read and judged as far as the clock has no say in it."""

    bootstrap: Bootstrap
    platform: Platform


def _resolved(documents: Documents, now: datetime, *, forgiving: bool = False) -> Snapshot:
    """The snapshot of the documents at `now`; what is wrong is `left_out`.

    `forgiving` is as if no exception were over yet.
    """
    bootstrap, platform = documents.bootstrap, documents.platform
    service = bootstrap.sidecar.service
    destinations = {}
    for name, entry in bootstrap.sidecar.destinations.items():
        resolution = platform.destination(name)
        findings: list[Finding] = []
        exemptions = Exemptions(platform.grants, service, name, now, forgiving)
        if bootstrap.tree is not None:
            overrides = Layer(
                Source.OVERRIDE,
                _asked(entry, bootstrap.sidecar.mode),
                bootstrap.tree,
                ("destinations", name, "overrides"),
            )
            resolution = resolution.under(overrides, platform.bounds, findings, exemptions)
        routes = tuple(
            routes_in_force(
                platform.routes.get(name, ()),
                entry.routes,
                name,
                resolution,
                platform.bounds,
                bootstrap.tree,
                exemptions,
                findings,
            )
        )
        if bootstrap.tree is not None:
            findings.extend(
                _beyond_preset(
                    name, entry.idempotency_key, [resolution, *(route.resolution for route in routes)], bootstrap.tree
                )
            )
        destinations[name] = _destination(
            name,
            entry,
            resolution,
            routes=routes,
            hosts=bootstrap.hosts[name],
            listen=bootstrap.listen[name],
            key_origins=_key_origins(name, entry.idempotency_key, bootstrap.tree),
            tls=origination_of(name, entry.tls, bootstrap, verify=bool(resolution.values["tls.verify"])),
            left_out=tuple(findings),
        )
    ingress = _ingress(documents, now, forgiving=forgiving)
    grants = tuple(grant for grant in platform.grants if service in grant.services)
    states = tuple(state_of(grant.exception, now) for grant in grants)
    return _snapshot(documents, destinations, ingress, grants, states)


def _destination(
    name: str,
    entry: DestinationEntry,
    resolution: Resolution,
    *,
    routes: tuple[RouteSnapshot, ...],
    hosts: Iterable[str],
    listen: tuple[Address, ...],
    key_origins: Mapping[str, Origin],
    tls: Origination,
    left_out: tuple[Finding, ...],
) -> DestinationSnapshot:
    return DestinationSnapshot(
        name=name,
        endpoints=tuple(entry.endpoints),
        hosts=frozenset(hosts),
        listen=listen,
        policy=resolution.policy,
        provenance=MappingProxyType({**resolution.provenance, **key_origins}),
        key=entry.idempotency_key,
        resolution=resolution,
        routes=routes,
        tls=tls,
        left_out=left_out,
    )


def _asked(entry: DestinationEntry, mode: Literal["enforce", "observe"] | UnsetType) -> Settings:
    """A team's word: its overrides, the governed part of the key contract beside them, the service's own mode."""
    key = KeySettings(honours=entry.idempotency_key.honours, retention=entry.idempotency_key.retention)
    own = mode if entry.overrides.mode is UNSET else entry.overrides.mode
    return structs.replace(entry.overrides, idempotency_key=key, mode=own)


def _ingress(documents: Documents, now: datetime, *, forgiving: bool) -> IngressSnapshot | None:
    """The way to the service: what is built in for it, what the platform says about it, the team's overrides."""
    bootstrap, platform = documents.bootstrap, documents.platform
    settings = bootstrap.sidecar.ingress
    if settings is UNSET:
        return None
    resolution = INGRESS_BASELINE
    findings: list[Finding] = []
    if platform.contract is not None:
        resolution = resolution.under(platform.contract, platform.bounds, [])  # judged with the other defaults
    if platform.ingress is not None:
        resolution = resolution.under(platform.ingress, platform.bounds, findings)
    service = bootstrap.sidecar.service
    exemptions = Exemptions(platform.grants, service, INGRESS_NAME, now, forgiving)
    if bootstrap.tree is not None:
        overrides = Layer(Source.OVERRIDE, settings.overrides, bootstrap.tree, ("ingress", "overrides"))
        resolution = resolution.under(overrides, platform.bounds, findings, exemptions)
    return IngressSnapshot(
        listen=settings.listen,
        app=settings.app,
        policy=resolution.policy,
        provenance=resolution.provenance,
        resolution=resolution,
        routes=routes_of(
            bootstrap.routes.entries,
            bootstrap.routes.tree,
            bootstrap.routes.at,
            resolution,
            platform.bounds,
            exemptions,
            findings,
        ),
        key_store=None if settings.idempotency is UNSET else key_store_of(settings.idempotency, bootstrap.path),
        tls=None if settings.tls is UNSET else termination_of(settings.tls, bootstrap),
        left_out=tuple(findings),
        contract_version=ContractVersion(
            platform.version,
            settings.contract.version,
            sum(_turns_of(grant, service, now) for grant in platform.grants),
        ),
    )


_TURNS: Final = {State.PENDING: 0, State.LIVE: 1, State.EXPIRED: 2}
"""Times that an exception has changed what is in force."""


def _turns_of(grant: Grant, service: str, now: datetime) -> int:
    exception = grant.exception
    named = service in grant.services and exception.destination == INGRESS_NAME
    return _TURNS[state_of(exception, now)] if named and exception.setting.startswith("idempotency.") else 0


def _key_origins(name: str, key: IdempotencyKeySettings, tree: Tree | None) -> dict[str, Origin]:
    """The origins of the numbers of the key contract that are no settings: the sidecar file, or nowhere."""
    longest = str(key.with_preset.max_length)
    origin = Origin(longest, Source.BASELINE, None, None)
    for word in ("preset", "max_length"):
        path = ("destinations", name, "idempotency_key", word)
        if tree is not None and path in tree.lines:
            origin = Origin(longest, Source.OVERRIDE, *tree.place(path))
    return {"idempotency_key.max_length": origin}


def _beyond_preset(
    name: str, key: IdempotencyKeySettings, governed: Iterable[Resolution], tree: Tree
) -> Iterator[Finding]:
    """Keys that are trusted for longer than the API of a preset says that it keeps them."""
    published = None if key.preset is UNSET else PRESETS[key.preset].retention
    if published is None:
        return
    here: TreePath = ("destinations", name, "idempotency_key")
    path = (*here, "retention") if (*here, "retention") in tree.lines else (*here, "preset")
    for each in governed:
        origin = each.provenance["idempotency_key.retention"]
        if each.policy.honours_keys and each.policy.key_retention > published:
            rule = f"must be at most the {Duration(published)} for which {key.preset} keeps keys ({origin.place})"
            field, setting = dotted(path), "idempotency_key.retention"
            yield Finding(*tree.place(path), field, f"{setting} {rule}", shown(origin.value), RuleId.BOUNDS)
            return


def _snapshot(
    documents: Documents,
    destinations: dict[str, DestinationSnapshot],
    ingress: IngressSnapshot | None,
    grants: tuple[Grant, ...],
    states: tuple[State, ...],
) -> Snapshot:
    bootstrap, platform = documents.bootstrap, documents.platform
    authority = bootstrap.authority
    sidecar = bootstrap.sidecar
    traces = sidecar.telemetry.traces
    metrics_listen = sidecar.admin.metrics_listen
    token_file = sidecar.admin.token_file
    return Snapshot(
        version=platform.version,
        owner=platform.owner,
        digest=digest_of(
            [
                bootstrap.content,
                bootstrap.routes.content,
                b"" if authority is None else authority.content,
                platform.content,
            ]
        ),
        files=tuple(
            file
            for file in (
                bootstrap.file,
                bootstrap.routes.file,
                None if authority is None else authority.file,
                bootstrap.policy_file,
            )
            if file is not None
        ),
        service=sidecar.service,
        destinations=MappingProxyType(destinations),
        unlisted=platform.defaults.policy,
        unlisted_provenance=platform.defaults.provenance,
        egress=EgressSnapshot(
            tuple(sidecar.egress.listen),
            sidecar.egress.unlisted,
            sidecar.egress.connect,
            tuple(sidecar.egress.allow),
            () if sidecar.egress.transparent is UNSET else tuple(sidecar.egress.transparent.listen),
        ),
        admin=sidecar.admin.listen,
        metrics_listen=None if metrics_listen is UNSET else metrics_listen,
        admin_token_file=None if token_file is UNSET else bootstrap.path(token_file),
        limits=platform.limits,
        via=platform.via,
        access_log_sample=platform.access_log_sample,
        drain=float(sidecar.drain),
        minimum_drain=float(sidecar.minimum_drain),
        ingress=ingress,
        traces=None if traces is UNSET else TracesSnapshot(traces.endpoint, traces.sample),
        warnings=(
            *bootstrap.warnings,
            *platform.warnings,
            *_outdated(platform.min_sidecar),
            *_unverified(destinations),
            *(str(finding) for finding in _unannounced(bootstrap, ingress)),
        ),
        documents=documents,
        exceptions=grants,
        states=states,
        policy_digest=digest_of([platform.content]) if platform.content else "",
        expires=None if platform.expires is None else datetime.combine(platform.expires, time(), UTC),
        min_sidecar=platform.min_sidecar,
        rollout=platform.rollout,
        dry_run=platform.dry_run,
    )


def _outdated(asked: SidecarVersion | None) -> Iterator[str]:
    """That this sidecar is older than the policy asks for: it follows what it knows of it."""
    if asked is not None and asked.newer_than(__version__):
        yield f"the policy asks for sidecar {asked} or newer (min_sidecar), and this one is {__version__}: upgrade it"


def _unverified(destinations: Mapping[str, DestinationSnapshot]) -> Iterator[str]:
    """A line for each destination that is spoken to without knowing whether it is the one."""
    for destination in destinations.values():
        if destination.https and not destination.tls.verify:
            origin = destination.provenance["tls.verify"]
            yield (
                f"destinations.{destination.name}: certificates are not verified, by leave of exception "
                f"{origin.exception} ({origin.place})"
            )


def _unannounced(bootstrap: Bootstrap, ingress: IngressSnapshot | None) -> Iterator[Finding]:
    """That the contract is not the one that the sidecar file's number of it stands for."""
    settings, tree = bootstrap.sidecar.ingress, bootstrap.tree
    if settings is UNSET or ingress is None or settings.contract.digest is UNSET or tree is None:
        return
    digest = ingress.contract["digest"]
    if digest != settings.contract.digest:
        path = ("ingress", "contract", "digest")
        number = settings.contract.version
        rule = f"must be {digest}, of the contract as it is now: raise version with it, {number} stands for another"
        yield Finding(*tree.place(path), dotted(path), rule, settings.contract.digest, RuleId.VERSION)


def _read(file: Path, findings: list[Finding]) -> bytes | None:
    """The bytes of a file, at most one more than a document may have."""
    try:
        return read_regular(file, SIZE_CEILING_BYTES)
    except OSError as error:
        findings.append(
            Finding(str(file), None, "", f"can not be read: {error.strerror or error}", rule_id=RuleId.UNREADABLE)
        )
        return None
