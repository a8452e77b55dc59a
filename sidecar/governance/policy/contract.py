"""The Idempotency-Key contract of the service's own routes, as the documents amount to it.

Its governed terms come as every setting does: built in, `defaults.idempotency` and `destinations.ingress` of the
policy, then the team's word for all routes (`ingress.overrides.idempotency`) and for one (`ingress.routes`), inside the
guardrails.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, Final

from msgspec import UNSET, Struct

from sidecar.governance.documents.bound import Bound
from sidecar.governance.documents.finding import Finding
from sidecar.governance.documents.ingress_routes import (
    DEFAULT_KEY_HEADER,
    DEFAULT_RELEASED,
    DEFAULT_SCOPE,
    IngressKeySettings,
    IngressRouteEntry,
    RouteProbeSettings,
)
from sidecar.governance.documents.json_pointer import JsonPointer
from sidecar.governance.documents.redacted_field import JOURNAL_WORDS, REDACTABLE_HEADERS
from sidecar.governance.documents.route_match import RouteMatch
from sidecar.governance.documents.yaml import Path, Tree
from sidecar.governance.policy.resolve import Layer, Resolution, Source
from sidecar.governance.policy.waivers import Exemptions

MAX_REQUEST_BYTES: Final = 1 << 20
"""The largest body of a keyed request, where nothing is written."""


class KeyProbe(Struct, frozen=True):
    """The question to the service about a key whose outcome is unknown. `path` has `{key}`; `after` is seconds."""

    method: str
    path: str
    applied: frozenset[int]
    not_applied: frozenset[int]
    after: float


class Redaction(Struct, frozen=True):
    """The values that are redacted before an answer is kept. `pointers` lead into JSON bodies of answers.

    `headers` are lower-cased; `words` are fields of journal entries that a person writes: `by`, `why`.
    """

    pointers: tuple[tuple[str, ...], ...] = ()
    headers: frozenset[bytes] = frozenset()
    words: frozenset[str] = frozenset()


class KeyContract(Struct, frozen=True):
    """The terms of one route. Times are seconds; header names are lower-cased."""

    at_most_once: bool
    takes_over: bool
    """Whether an unknown outcome is run again (reexecute_ok)."""
    fails_open: bool
    """Whether requests pass while the store is down (best_effort)."""
    header: bytes
    """The header that carries the key; b"" where it stands in the body."""
    pointer: tuple[str, ...] | None
    required: bool
    retention: float
    rejects: bool
    wait: float
    scope: tuple[bytes, ...]
    ignored: tuple[tuple[str, ...], ...]
    released_by: frozenset[int]
    class_name: str
    probe: KeyProbe | None = None
    redaction: Redaction = Redaction()


class IngressRoute(Struct, frozen=True):
    """One entry of `ingress.routes`. `contract` is None where it is declared only."""

    name: str
    match: RouteMatch
    contract: KeyContract | None
    resolution: Resolution | None = None
    """The layers that the terms come from."""


class KeyStore(Struct, frozen=True):
    """The store of keys, and the settings for all routes: `kind` is sqlite, redis, postgres or memory.

    Sizes are bytes, `lease` seconds. `place` is a path or a URL.
    """

    kind: str
    place: str
    password_file: FilePath | None
    encryption_key_file: FilePath | None
    max_request_bytes: int
    max_response_bytes: int
    lease: float


def key_store_of(settings: IngressKeySettings, path: Callable[[str], FilePath]) -> KeyStore:
    """The store of `ingress.idempotency`; `path` makes a written path absolute."""
    store = settings.store
    kind = store.kinds[0] if store.kinds else "memory"
    written = getattr(store, kind)
    key_file = settings.encryption_key_file
    return KeyStore(
        kind=kind,
        place=str(path(written)) if kind == "sqlite" else str(written),
        password_file=None if store.password_file is UNSET else path(store.password_file),
        encryption_key_file=None if key_file is UNSET else path(key_file),
        max_request_bytes=int(settings.max_request),
        max_response_bytes=int(settings.max_response),
        lease=float(settings.lease),
    )


class _RouteLayer(Layer, frozen=True):
    """The terms of one route, which stand in its entry without a section of their own."""

    def path(self, setting: str) -> Path:
        return (*self.at, *setting.split(".")[1:])


def routes_of(
    entries: Sequence[IngressRouteEntry],
    tree: Tree | None,
    here: Path,
    base: Resolution,
    bounds: Mapping[str, Bound],
    exemptions: Exemptions,
    findings: list[Finding],
) -> tuple[IngressRoute, ...]:
    """The routes that stand at `here` in `tree`, over `base`. What breaks a guardrail is added to `findings`."""
    routes = []
    for index, entry in enumerate(entries):
        if not entry.contracted:
            routes.append(IngressRoute(entry.name, entry.match, None))
            continue
        resolution = base
        if tree is not None:
            layer = _RouteLayer(Source.OVERRIDE, entry.settings, tree, (*here, index))
            resolution = base.under(layer, bounds, findings, exemptions)
        contract = _contract(entry, resolution.values)
        routes.append(IngressRoute(entry.name, entry.match, contract, resolution))
    return tuple(routes)


def _contract(entry: IngressRouteEntry, values: Mapping[str, Any]) -> KeyContract:
    key, word = entry.key, values["idempotency.class"]
    pointer = None if key is UNSET or key.pointer is UNSET else key.pointer.tokens
    header = DEFAULT_KEY_HEADER if key is UNSET or key.header is UNSET else key.header
    scope = DEFAULT_SCOPE if entry.scope is UNSET else entry.scope
    return KeyContract(
        at_most_once=word == "at_most_once",
        takes_over=word == "reexecute_ok",
        fails_open=word == "best_effort",
        header=header.lower().encode("ascii") if pointer is None else b"",
        pointer=pointer,
        required=bool(values["idempotency.required"]),
        retention=float(values["idempotency.retention"]),
        rejects=values["idempotency.after_retention"] == "reject",
        wait=float(values["idempotency.wait"]),
        scope=tuple(sorted(name.lower().encode("ascii") for name in scope)),
        ignored=tuple(each.tokens for each in entry.ignore_fields),
        released_by=frozenset(DEFAULT_RELEASED if entry.released_by is UNSET else entry.released_by),
        class_name=word,
        probe=None if entry.probe is UNSET else _probe(entry.probe),
        redaction=_redaction(values["idempotency.redact"]),
    )


def _redaction(fields: Iterable[str]) -> Redaction:
    words = frozenset(field.partition(".")[2] for field in fields if field in JOURNAL_WORDS)
    headers = frozenset(field.encode("ascii") for field in fields if field in REDACTABLE_HEADERS)
    pointers = sorted(JsonPointer(field).tokens for field in fields if field.startswith("/"))
    return Redaction(tuple(pointers), headers, words)


def _probe(written: RouteProbeSettings) -> KeyProbe:
    applied, not_applied = frozenset(written.applied), frozenset(written.not_applied)
    return KeyProbe(written.method, written.path, applied, not_applied, float(written.after))
