"""The two documents people write, as types: the platform's policy, and the service team's sidecar file.

A setting that is not given is UNSET: zero and None are never a default. Durations and sizes carry units. What a number
may be is the engine's word (`engine.policy`), applied when documents are resolved; here are shapes and names.
"""

from datetime import date
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from sidecar.engine.destination import UNLISTED
from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.egress_keys import IdempotencyKeySettings, check_egress_keys
from sidecar.governance.documents.finding import Finding, RuleId, dotted
from sidecar.governance.documents.ingress_routes import (
    IngressKeySettings,
    IngressRouteEntry,
    PublishedContractSettings,
    RoutesFile,
    check_key_settings,
    check_routes,
)
from sidecar.governance.documents.mapping import Document
from sidecar.governance.documents.public_key import KeyName, PublicKey
from sidecar.governance.documents.settings import PlatformSettings, RouteSettings, Settings
from sidecar.governance.documents.sidecar_version import SidecarVersion
from sidecar.governance.documents.tls_version import TlsVersion
from sidecar.governance.documents.units import BodyLimit, Duration, Size
from sidecar.governance.documents.version import CEILING as VERSION_CEILING
from sidecar.governance.documents.yaml import Path, Tree
from sidecar.net import Address, AddressRange, Endpoint, Host, HostPort, PolicyUrl, ReceiverUrl

INGRESS_NAME = "ingress"
"""The label of the ingress listener: no destination may be called so, and `destinations.ingress` of a policy is its."""

ROUTES_CEILING = 50
"""Routes of one destination: each is a label in metrics, and compared with each request before it."""

Text = Annotated[str, Meta(min_length=1)]
DestinationName = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z0-9][a-z0-9_-]{0,62}\Z",
        extra={"rule": "must be a name of at most 63 of a-z, 0-9, '-' and '_', beginning with a letter or digit"},
    ),
]
ServiceName = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9._/-]{0,252}\Z",
        extra={"rule": "must be a name of at most 253 letters, digits, '.', '_', '/' and '-'"},
    ),
]
ExceptedService = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9._/-]{0,252}\Z",
        extra={
            "rule": "must be the name of one service: an exception is never for all of them",
            "rule_id": RuleId.EXCEPTION_SCOPE,
        },
    ),
]


class Guardrail(Document, frozen=True, kw_only=True):
    """Bounds of one setting: `{min, max}`, `{only: [...]}` or `{fixed: true}`. Bounds are in the setting's own form.

    `floor` and `ceiling` say how far an exception may go below `min` and above `max`; a guardrail whose `level` is hard
    wants two approvers for one, and lets it last for 30 days instead of 90.
    """

    min: Any | UnsetType = UNSET
    max: Any | UnsetType = UNSET
    only: list[Any] | UnsetType = UNSET
    fixed: bool | UnsetType = UNSET
    floor: Any | UnsetType = UNSET
    ceiling: Any | UnsetType = UNSET
    level: Literal["hard"] | UnsetType = UNSET


class PolicyException(Document, frozen=True, kw_only=True):
    """A written, reviewed and bounded leave to pass one guardrail."""

    id: Text
    service: ExceptedService | UnsetType = UNSET
    services: Annotated[list[ExceptedService], Meta(min_length=1)] | UnsetType = UNSET
    destination: DestinationName
    setting: str
    value: Any
    reason: Annotated[str, Meta(min_length=20)]
    ticket: Text
    owner: Text
    approved_by: Annotated[list[Text], Meta(min_length=1)]
    not_before: date
    expires: date


class LimitSettings(Document, frozen=True, kw_only=True):
    """`limits`: see WireLimits."""

    head_bytes: Size | UnsetType = UNSET
    headers: int | UnsetType = UNSET
    target_bytes: Size | UnsetType = UNSET
    body_bytes: BodyLimit | UnsetType = UNSET
    head_timeout: Duration | UnsetType = UNSET
    idle_timeout: Duration | UnsetType = UNSET
    connections: int | UnsetType = UNSET
    upstream_head_bytes: Size | UnsetType = UNSET
    upstream_headers: int | UnsetType = UNSET
    upstream_idle_timeout: Duration | UnsetType = UNSET
    connect_timeout: Duration | UnsetType = UNSET
    tunnel_idle_timeout: Duration | UnsetType = UNSET
    dns_ttl: Duration | UnsetType = UNSET


class AccessLogSettings(Document, frozen=True, kw_only=True):
    """`access_log`: the share of successful exchanges that get a line."""

    sample: Annotated[float, Meta(ge=0, le=1)] = 0.0


class AbortCondition(Document, frozen=True, kw_only=True):
    """`rollout.abort_when`: more attempts per request than this, over `window`, towards one destination.

    With fewer than `min_requests` in the window nothing is concluded.
    """

    amplification: Annotated[float, Meta(ge=1, le=10)]
    window: Duration = Duration(60.0)
    min_requests: Annotated[int, Meta(ge=1)] = 50


class Rollout(Document, frozen=True, kw_only=True):
    """`rollout`: the share of pods that get this version, in percent, and when they give it up again."""

    percent: Annotated[float, Meta(ge=0, le=100)]
    abort_when: AbortCondition | UnsetType = UNSET


class PolicyDocument(Document, frozen=True, kw_only=True):
    """The platform's policy. `version` only rises; 0 is the compiled-in one.

    From 00:00 UTC of `expires` on it should have been replaced. With `dry_run` it is only tried. `min_sidecar` is the
    oldest sidecar that does all it says.
    """

    version: Annotated[int, Meta(ge=1, le=VERSION_CEILING)]
    owner: Text
    defaults: Settings = Settings()
    guardrails: dict[str, Guardrail] = field(default_factory=dict)
    destinations: dict[DestinationName, PlatformSettings] = field(default_factory=dict)
    exceptions: list[PolicyException] = field(default_factory=list)
    limits: LimitSettings = LimitSettings()
    via: bool = True
    access_log: AccessLogSettings = AccessLogSettings()
    expires: date | UnsetType = UNSET
    min_sidecar: SidecarVersion | UnsetType = UNSET
    rollout: Rollout | UnsetType = UNSET
    dry_run: bool = False


class AdminSettings(Document, frozen=True, kw_only=True):
    """`admin`. `metrics_listen` is the second listener, for the kubelet and scrapers.

    `token_file` holds the token that changes must show; relative to the folder of the sidecar file. Without it one is
    made at start.
    """

    listen: Address = Address("127.0.0.1", 16000)
    metrics_listen: Address | UnsetType = UNSET
    token_file: Text | UnsetType = UNSET


class PolicySettings(Document, frozen=True, kw_only=True):
    """The place of the policy: a file, a directory that holds it as policy.yaml, or an address. One of the three.

    Paths are relative to the folder of the sidecar file.
    """

    file: Text | UnsetType = UNSET
    directory: Text | UnsetType = UNSET
    url: PolicyUrl | UnsetType = UNSET
    poll: Duration = Duration(30.0)
    timeout: Duration = Duration(10.0)
    ca: Text | UnsetType = UNSET
    token_file: Text | UnsetType = UNSET
    previous: Text | UnsetType = UNSET
    cache: Text | UnsetType = UNSET
    keys: dict[KeyName, PublicKey] = field(default_factory=dict)
    required: Annotated[int, Meta(ge=1)] = 1


class TransparentSettings(Document, frozen=True, kw_only=True):
    """`egress.transparent`: the listeners that the rules of `sidecar intercept` redirect connections to."""

    listen: list[Address] = field(default_factory=lambda: [Address("127.0.0.1", 16007), Address("::1", 16007)])


class EgressSettings(Document, frozen=True, kw_only=True):
    """`egress`: the shared listeners, and what becomes of hosts no destination names and of CONNECT."""

    listen: list[Address] = field(default_factory=lambda: [Address("127.0.0.1", 16001), Address("::1", 16001)])
    unlisted: Literal["forward", "refuse"] = "forward"
    connect: Literal["tunnel", "refuse", "refuse_governed"] = "tunnel"
    transparent: TransparentSettings | UnsetType = UNSET
    allow: list[AddressRange] = field(default_factory=list)


class TlsSettings(Document, frozen=True, kw_only=True):
    """`tls` of a destination: how its https endpoints are spoken to. Whether they are verified is the policy's word."""

    ca: Text | UnsetType = UNSET
    cert: Text | UnsetType = UNSET
    key: Text | UnsetType = UNSET
    min_version: TlsVersion = TlsVersion("1.2")
    server_name: Host | UnsetType = UNSET


class IngressTlsSettings(Document, frozen=True, kw_only=True):
    """`ingress.tls`: what callers are shown, and, with `client_ca`, whose certificates they must show."""

    cert: Text
    key: Text
    client_ca: Text | UnsetType = UNSET
    min_version: TlsVersion = TlsVersion("1.2")


class DestinationEntry(Document, frozen=True, kw_only=True):
    """One destination of the service."""

    endpoints: Annotated[list[Endpoint], Meta(min_length=1)]
    hosts: Annotated[list[HostPort], Meta(min_length=1)] | UnsetType = UNSET
    listen: Address | UnsetType = UNSET
    tls: TlsSettings | UnsetType = UNSET
    idempotency_key: IdempotencyKeySettings = IdempotencyKeySettings()
    overrides: Settings = Settings()
    routes: list[RouteSettings] = field(default_factory=list)


class IngressSettings(Document, frozen=True, kw_only=True):
    """`ingress`: the listener in front of the service, and the service."""

    listen: Address
    app: Endpoint
    routes: list[IngressRouteEntry] | RoutesFile = field(default_factory=list)
    idempotency: IngressKeySettings | UnsetType = UNSET
    contract: PublishedContractSettings = PublishedContractSettings()
    tls: IngressTlsSettings | UnsetType = UNSET
    overrides: Settings = Settings()


class TracesSettings(Document, frozen=True, kw_only=True):
    """`telemetry.traces`: where spans go, and the share of requests without a traceparent that begin a trace."""

    endpoint: ReceiverUrl
    sample: Annotated[float, Meta(ge=0, le=1)] = 0.01


class TelemetrySettings(Document, frozen=True, kw_only=True):
    """`telemetry`: what is told to others beside metrics and logs."""

    traces: TracesSettings | UnsetType = UNSET


class SidecarDocument(Document, frozen=True, kw_only=True):
    """The service team's file."""

    service: ServiceName
    mode: Literal["enforce", "observe"] | UnsetType = UNSET
    admin: AdminSettings = AdminSettings()
    policy: PolicySettings | UnsetType = UNSET
    egress: EgressSettings = field(default_factory=EgressSettings)
    destinations: dict[DestinationName, DestinationEntry] = field(default_factory=dict)
    ingress: IngressSettings | UnsetType = UNSET
    telemetry: TelemetrySettings = TelemetrySettings()
    drain: Duration = Duration(25.0)
    minimum_drain: Duration = Duration(0.0)


class AuthorityDocument(Document, frozen=True, kw_only=True):
    """The platform's own file in a pod: whose policy governs it, whatever the service's file says."""

    policy: PolicySettings


def read_authority(tree: Tree, findings: list[Finding]) -> AuthorityDocument | None:
    """The authority in `tree`; None when it is no mapping or names no policy."""
    decoder = Decoder(tree, findings)
    authority = decoder.document(AuthorityDocument, {})
    if authority is not None:
        _check_policy_settings(authority.policy, decoder, tree)
    return authority


def read_policy(tree: Tree, findings: list[Finding]) -> PolicyDocument | None:
    """The policy in `tree`; None when it is no mapping. With findings it serves to find more only."""
    decoder = Decoder(tree, findings)
    policy = decoder.document(PolicyDocument, {"version": 1, "owner": ""})
    if policy is not None and UNLISTED in policy.destinations:
        decoder.lacking(
            ("destinations", UNLISTED), "is a reserved name: what no destination names has `defaults`", RuleId.RESERVED
        )
    if policy is not None:
        if INGRESS_NAME in policy.destinations and policy.destinations[INGRESS_NAME].routes:
            decoder.lacking(
                ("destinations", INGRESS_NAME, "routes"),
                "is for destinations, not for the service itself",
                RuleId.RESERVED,
            )
        for name, settings in policy.destinations.items():
            _check_routes(settings.routes, ("destinations", name, "routes"), decoder)
    if policy is not None and policy.rollout is not UNSET and policy.rollout.abort_when is not UNSET:
        window = policy.rollout.abort_when.window
        if not Duration(1) <= window <= Duration(3600):
            path = ("rollout", "abort_when", "window")
            decoder.broken(path, "must be between 1s and 1h", tree.at(path), RuleId.BOUNDS)
    return policy


def read_sidecar(tree: Tree, findings: list[Finding]) -> SidecarDocument | None:
    """The sidecar file in `tree`; None when it is no mapping. With findings it serves to find more only."""
    decoder = Decoder(tree, findings)
    sidecar = decoder.document(SidecarDocument, {"service": ""})
    if sidecar is None:
        return None
    if UNLISTED in sidecar.destinations:
        decoder.lacking(("destinations", UNLISTED), "is a reserved name: give the destination another", RuleId.RESERVED)
    if INGRESS_NAME in sidecar.destinations:
        decoder.lacking(
            ("destinations", INGRESS_NAME), "is a reserved name: give the destination another", RuleId.RESERVED
        )
    if sidecar.ingress is not UNSET and sidecar.ingress.app.scheme != "http":
        decoder.broken(("ingress", "app"), "must be http: it is on this machine", sidecar.ingress.app)
    for name, entry in sidecar.destinations.items():
        if entry.tls is not UNSET:
            _check_tls(entry.tls, entry.endpoints, ("destinations", name, "tls"), decoder)
        _check_key(entry, ("destinations", name), decoder)
        _check_routes(entry.routes, ("destinations", name, "routes"), decoder)
    if sidecar.ingress is not UNSET:
        _check_ingress(sidecar.ingress, decoder)
    if sidecar.policy is not UNSET:
        _check_policy_settings(sidecar.policy, decoder, tree)
    if sidecar.drain > 3600:
        decoder.broken(("drain",), "must be at most 1h", tree.at(("drain",)), RuleId.BOUNDS)
    if sidecar.minimum_drain > sidecar.drain:
        decoder.broken(
            ("minimum_drain",),
            f"must be at most drain, {sidecar.drain:g}s",
            tree.at(("minimum_drain",)),
            RuleId.BOUNDS,
        )
    return sidecar


def _check_ingress(ingress: IngressSettings, decoder: Decoder) -> None:
    if ingress.overrides.mode is not UNSET:
        decoder.lacking(
            ("ingress", "overrides", "mode"), "is for destinations, not for the service itself", RuleId.RESERVED
        )
    if ingress.overrides.idempotency_key is not UNSET:
        decoder.lacking(
            ("ingress", "overrides", "idempotency_key"),
            "is for destinations, not for the service itself",
            RuleId.RESERVED,
        )
    if isinstance(ingress.routes, list):
        check_routes(ingress.routes, ("ingress", "routes"), decoder)
    if ingress.idempotency is not UNSET:
        check_key_settings(ingress.idempotency, ("ingress", "idempotency"), decoder)


def _check_key(entry: DestinationEntry, here: Path, decoder: Decoder) -> None:
    if entry.overrides.idempotency is not UNSET:
        decoder.lacking(
            (*here, "overrides", "idempotency"), "is for the service itself: see ingress.routes", RuleId.RESERVED
        )
    if entry.overrides.idempotency_key is not UNSET:
        decoder.lacking(
            (*here, "overrides", "idempotency_key"), f"stands beside overrides, in {dotted(here)}", RuleId.RESERVED
        )
    check_egress_keys(entry.idempotency_key, (*here, "idempotency_key"), decoder)


def _check_routes(routes: list[RouteSettings], here: Path, decoder: Decoder) -> None:
    if len(routes) > ROUTES_CEILING:
        decoder.lacking(here, f"must have at most {ROUTES_CEILING} entries", RuleId.BOUNDS)
    written = decoder.tree.at(here) if here in decoder.tree.lines else []
    seen: set[object] = set()
    for index, entry in enumerate(written if isinstance(written, list) else []):
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name in seen:
            decoder.broken((*here, index, "name"), "must not be another route's name", name, rule_id=RuleId.DUPLICATE)
        seen.add(name if isinstance(name, str) else None)


def _check_tls(settings: TlsSettings, endpoints: list[Endpoint], here: Path, decoder: Decoder) -> None:
    if not any(endpoint.scheme == "https" for endpoint in endpoints):
        decoder.lacking(here, "is for https endpoints, and the destination has none", RuleId.COMBINATION)
    for word, other in (("cert", "key"), ("key", "cert")):
        if getattr(settings, word) is not UNSET and getattr(settings, other) is UNSET:
            decoder.lacking(
                (*here, word), f"goes with {other}: a certificate can only be shown with its key", RuleId.COMBINATION
            )


def _check_policy_settings(settings: PolicySettings, decoder: Decoder, tree: Tree) -> None:
    here: Path = ("policy",)
    sources = ("file", "directory", "url")
    written = [word for word in sources if (*here, word) in tree.lines]
    if len(written) != 1:
        decoder.lacking(here, "must name file, directory or url, one of them", RuleId.COMBINATION)
    if "url" not in written:
        for word in ("poll", "timeout", "ca", "token_file"):
            if (*here, word) in tree.lines:
                decoder.lacking((*here, word), "goes with url only", RuleId.COMBINATION)
    for word, least, most in (("poll", Duration(1), Duration(86400)), ("timeout", Duration(0.1), Duration(60))):
        seconds: Duration = getattr(settings, word)
        if not least <= seconds <= most:
            decoder.broken((*here, word), f"must be between {least} and {most}", tree.at((*here, word)), RuleId.BOUNDS)
    if (*here, "required") in tree.lines and not settings.keys:
        decoder.lacking((*here, "required"), "goes with keys only", RuleId.COMBINATION)
    elif settings.keys and settings.required > len(settings.keys):
        rule = f"must be at most the number of keys ({len(settings.keys)})"
        decoder.broken((*here, "required"), rule, settings.required, RuleId.BOUNDS)
    named: dict[PublicKey, str] = {}
    for name, key in settings.keys.items():
        if key in named:
            decoder.broken(
                (*here, "keys", name), f"must not be the same key as {named[key]}", key, rule_id=RuleId.DUPLICATE
            )
        named.setdefault(key, name)
