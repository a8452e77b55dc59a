"""`ingress.routes`: which requests in front of the service come under the Idempotency-Key contract, and on what terms.

The list stands in the sidecar file, or in a file of its own, as `sidecar gate --emit-routes` writes it.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from sidecar.governance.documents.decoder import Decoder
from sidecar.governance.documents.finding import RuleId
from sidecar.governance.documents.json_pointer import JsonPointer
from sidecar.governance.documents.mapping import Document
from sidecar.governance.documents.redacted_field import RedactedField
from sidecar.governance.documents.route_match import RouteMatch, RouteName
from sidecar.governance.documents.settings import AfterRetention, ContractClass, ContractSettings, Settings
from sidecar.governance.documents.units import Duration, Size
from sidecar.governance.documents.yaml import Path

FieldName = Annotated[
    str,
    Meta(pattern=r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}\Z", extra={"rule": "must be the name of a header"}),
]
StatusCode = Annotated[int, Meta(ge=400, le=499)]
ProbeStatus = Annotated[int, Meta(ge=200, le=499)]
ContractDigest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z", extra={"rule": "must be 16 hexadecimal digits"})]
KINDS = ("sqlite", "redis", "postgres", "memory")
DEFAULT_KEY_HEADER = "Idempotency-Key"
DEFAULT_SCOPE = ("authorization",)
"""Keys are apart for callers whose credentials differ, so that no caller is shown another's answer."""
DEFAULT_RELEASED = (401, 403, 429)
"""Answers that a service gives before it has done anything."""


class RouteKeySettings(Document, frozen=True, kw_only=True):
    """`key` of a route: the header that carries it, or where it stands in a JSON body."""

    header: FieldName | UnsetType = UNSET
    pointer: JsonPointer | UnsetType = UNSET


class RouteProbeSettings(Document, frozen=True, kw_only=True):
    """`probe` of a route: how the service is asked what became of a key whose outcome is unknown."""

    path: Annotated[
        str,
        Meta(
            pattern=r"\A/[^\s{}?#]*(\{key\}[^\s{}?#]*)?(\?[^\s{}#]*(\{key\}[^\s{}#]*)?)?\Z",
            max_length=2000,
            extra={"rule": "must be a path like /payments/by-key/{key}, with no parameter but {key}"},
        ),
    ]
    method: Literal["GET", "HEAD"] = "GET"
    applied: list[ProbeStatus] = field(default_factory=list)
    not_applied: list[ProbeStatus] = field(default_factory=list)
    after: Duration = Duration(10)


class IngressRouteEntry(Document, frozen=True, kw_only=True):
    """One entry of `ingress.routes`. With none of `class`, `key` and `required` it is declared, without a contract."""

    name: RouteName
    match: RouteMatch
    class_: ContractClass | UnsetType = field(default=UNSET, name="class")
    key: RouteKeySettings | UnsetType = UNSET
    required: bool | UnsetType = UNSET
    retention: Duration | UnsetType = UNSET
    after_retention: AfterRetention | UnsetType = UNSET
    wait: Duration | UnsetType = UNSET
    redact: list[RedactedField] | UnsetType = UNSET
    scope: list[FieldName] | UnsetType = UNSET
    ignore_fields: list[JsonPointer] = field(default_factory=list)
    released_by: list[StatusCode] | UnsetType = UNSET
    probe: RouteProbeSettings | UnsetType = UNSET

    @property
    def contracted(self) -> bool:
        """Whether the contract is for it."""
        return self.class_ is not UNSET or self.key is not UNSET or self.required is not UNSET

    @property
    def settings(self) -> Settings:
        """Its governed part."""
        return Settings(
            idempotency=ContractSettings(
                class_=self.class_,
                required=self.required,
                retention=self.retention,
                after_retention=self.after_retention,
                wait=self.wait,
                redact=self.redact,
            )
        )


class RoutesFile(Document, frozen=True, kw_only=True):
    """`ingress.routes`, where the list is in a file of its own, relative to the sidecar file."""

    file: Annotated[str, Meta(min_length=1)]


class RouteTableDocument(Document, frozen=True, kw_only=True):
    """That file."""

    version: Literal[1]
    routes: list[IngressRouteEntry] = field(default_factory=list)


class KeyStoreSettings(Document, frozen=True, kw_only=True):
    """`ingress.idempotency.store`: a file of SQLite, a Redis or a PostgreSQL; `memory: volatile` is for trying out."""

    sqlite: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET
    redis: (
        Annotated[
            str, Meta(pattern=r"\A(redis|rediss|unix)://", extra={"rule": "must be a URL like redis://host:6379/0"})
        ]
        | UnsetType
    ) = UNSET
    postgres: (
        Annotated[
            str,
            Meta(pattern=r"\Apostgres(ql)?://", extra={"rule": "must be a URL like postgresql://user@host/database"}),
        ]
        | UnsetType
    ) = UNSET
    memory: Literal["volatile"] | UnsetType = UNSET
    password_file: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET

    @property
    def kinds(self) -> list[str]:
        """The kinds that are named; one, where nothing is wrong."""
        return [word for word in KINDS if getattr(self, word) is not UNSET]


class IngressKeySettings(Document, frozen=True, kw_only=True):
    """`ingress.idempotency`: what holds for all routes with a contract."""

    store: KeyStoreSettings
    replicas: Annotated[int, Meta(ge=1, le=100_000)] = 1
    max_request: Size = Size(1 << 20)
    max_response: Size = Size(256 << 10)
    lease: Duration = Duration(30)
    encryption_key_file: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET


class PublishedContractSettings(Document, frozen=True, kw_only=True):
    """`ingress.contract`: the number of the contract that partners are given, and the digest of what it stands for."""

    version: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    digest: ContractDigest | UnsetType = UNSET


def check_routes(entries: list[IngressRouteEntry], here: Path, decoder: Decoder) -> None:
    """Add what is wrong with entries that stand at `here`."""
    names: dict[str, int] = {}
    for index, entry in enumerate(entries):
        at = (*here, index)
        if entry.name in names:
            decoder.broken((*at, "name"), "must not be that of another route", entry.name, rule_id=RuleId.DUPLICATE)
        names.setdefault(entry.name, index)
        key = entry.key
        named = [word for word in ("header", "pointer") if (*at, "key", word) in decoder.tree.lines]
        if key is not UNSET and len(named) != 1:
            decoder.lacking((*at, "key"), "must name header or pointer, one of them", rule_id=RuleId.COMBINATION)
        if not entry.contracted:
            for word in ("retention", "after_retention", "wait", "redact", "scope", "released_by", "probe"):
                if getattr(entry, word) is not UNSET:
                    decoder.lacking(
                        (*at, word),
                        "goes with class or key: without them the route has no contract",
                        RuleId.COMBINATION,
                    )
        if entry.probe is not UNSET:
            _check_probe(entry.probe, (*at, "probe"), decoder)


def _check_probe(probe: RouteProbeSettings, here: Path, decoder: Decoder) -> None:
    if not probe.applied and not probe.not_applied:
        decoder.lacking(here, "must have statuses of applied or not_applied: no answer would say anything")
    both = sorted(set(probe.applied) & set(probe.not_applied))
    if both:
        decoder.broken(
            (*here, "not_applied"), "must have no status that is in applied as well", both[0], rule_id=RuleId.DUPLICATE
        )
    if probe.after > 86400:
        decoder.broken((*here, "after"), "must be at most 24h", str(probe.after), rule_id=RuleId.BOUNDS)


def check_key_settings(settings: IngressKeySettings, here: Path, decoder: Decoder) -> None:
    """Add what is wrong with `ingress.idempotency`, which stands at `here`."""
    kinds = [word for word in KINDS if (*here, "store", word) in decoder.tree.lines]
    if len(kinds) != 1:
        decoder.lacking(
            (*here, "store"), "must name sqlite, redis, postgres or memory, one of them", rule_id=RuleId.COMBINATION
        )
    elif kinds[0] in ("sqlite", "memory") and settings.replicas > 1:
        rule = "must be redis or postgres where replicas is over 1: each pod would have a store of its own"
        decoder.lacking((*here, "store", kinds[0]), rule)
    if settings.store.password_file is not UNSET and kinds and kinds[0] in ("sqlite", "memory"):
        decoder.lacking((*here, "store", "password_file"), "goes with redis or postgres", RuleId.COMBINATION)
    if not 5 <= settings.lease <= 600:
        decoder.broken((*here, "lease"), "must be between 5s and 10m", str(settings.lease), RuleId.BOUNDS)
    for word, most in (("max_request", 64 << 20), ("max_response", 16 << 20)):
        if not 1 <= getattr(settings, word) <= most:
            decoder.broken(
                (*here, word), f"must be between 1B and {Size(most)}", str(getattr(settings, word)), RuleId.BOUNDS
            )
