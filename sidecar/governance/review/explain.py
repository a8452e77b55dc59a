"""The explanation of a number: every layer that sets it, from the compiled-in one up, and its bound."""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import UNSET, Struct

from sidecar.governance.documents.bound import written
from sidecar.governance.documents.limits import WireLimits, limit_text
from sidecar.governance.documents.meaning import POLICY_MEANINGS, SIDECAR_MEANINGS
from sidecar.governance.documents.settings import ROUTE_SETTINGS, SETTINGS
from sidecar.governance.documents.yaml import Tree
from sidecar.governance.policy.bootstrap import Bootstrap
from sidecar.governance.policy.contract import IngressRoute
from sidecar.governance.policy.resolve import Origin, Resolution, Source
from sidecar.governance.policy.routes import RouteSnapshot
from sidecar.governance.policy.snapshot import DestinationSnapshot, Snapshot
from sidecar.governance.policy.waivers import State, ends_at

WHOSE: Final[Mapping[Source, str]] = {
    Source.BASELINE: "built in",
    Source.DEFAULT: "default of the policy",
    Source.PLATFORM: "the platform's word for this destination",
    Source.OVERRIDE: "override of the service",
    Source.EXCEPTION: "override of the service, by leave of an exception",
}
"""Each source in words."""


class Step(Struct, frozen=True):
    """One word about a number, and what became of it."""

    origin: Origin
    outcome: str


class Explanation(Struct, frozen=True):
    """One number: what it means, whose word it is, all words about it from the lowest up, and what bounds it."""

    field: str
    origin: Origin
    meaning: str
    steps: tuple[Step, ...]
    guardrail: str | None
    """Its bounds and where they are written; None when only the engine's own hold."""
    exception: str | None
    """The exception that its number depends on, and until when; None for most."""


def explain_destination(snapshot: Snapshot, destination: DestinationSnapshot) -> Iterator[Explanation]:
    """Every number of a destination."""
    yield from explain_settings(snapshot, destination.resolution)
    for field, origin in destination.provenance.items():
        if field not in destination.resolution.provenance:
            meaning = SIDECAR_MEANINGS[f"destinations.*.{field}"]
            yield Explanation(field, origin, meaning, (Step(origin, "in force"),), None, None)


def explain_call_route(snapshot: Snapshot, route: RouteSnapshot) -> Iterator[Explanation]:
    """The match of a route, and every number that may differ by route."""
    step = Step(route.origin, "in force")
    yield Explanation("match", route.origin, SIDECAR_MEANINGS["destinations.*.routes[].match"], (step,), None, None)
    for explanation in explain_settings(snapshot, route.resolution):
        if explanation.field.partition(".")[0] in ROUTE_SETTINGS:
            yield explanation


def explain_settings(snapshot: Snapshot, resolution: Resolution) -> Iterator[Explanation]:
    """Every number of a resolution: of a destination, or of the hosts that no destination names."""
    bounds = snapshot.documents.platform.bounds
    for setting, origin in resolution.provenance.items():
        bound = bounds.get(setting)
        excepted = resolution.excepted.get(setting)
        exception = None
        if excepted is not None:
            term = f"from {excepted.grant.exception.not_before} until {excepted.grant.exception.expires}, 00:00 UTC"
            exception = f"{excepted.grant}, {excepted.state.value}, {term}"
        yield Explanation(
            setting,
            origin,
            SETTINGS[setting].meaning,
            tuple(_steps(setting, resolution)),
            None if bound is None else f"{bound.text} ({bound.place})",
            exception,
        )


def explain_route(snapshot: Snapshot, route: IngressRoute) -> Iterator[Explanation]:
    """Every term of the Idempotency-Key contract of one of the service's own routes; none where it has no contract."""
    if route.resolution is not None:
        for explanation in explain_settings(snapshot, route.resolution):
            if explanation.field.startswith("idempotency."):
                yield explanation


def explain_sidecar(snapshot: Snapshot) -> Iterator[Explanation]:
    """Every number that belongs to no destination: of the policy as such, of the wire, of the sidecar's own life."""
    platform, bootstrap = snapshot.documents.platform, snapshot.documents.bootstrap
    for field, value in _policy_numbers(snapshot):
        yield _plain(platform.tree, field, value, Source.DEFAULT, POLICY_MEANINGS[field])
    for field, value in _sidecar_numbers(bootstrap):
        if field.startswith("policy."):
            whose = Source.OVERRIDE if bootstrap.authority is None else Source.PLATFORM
            yield _plain(bootstrap.policy_tree, field, value, whose, SIDECAR_MEANINGS[field])
        else:
            yield _plain(bootstrap.tree, field, value, Source.OVERRIDE, SIDECAR_MEANINGS[field])


def _policy_numbers(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    yield "version", str(snapshot.version)
    if snapshot.expires is not None:
        yield "expires", snapshot.expires.date().isoformat()
    if snapshot.min_sidecar is not None:
        yield "min_sidecar", str(snapshot.min_sidecar)
    yield "dry_run", written(snapshot.dry_run)
    plan = snapshot.rollout
    if plan is not None:
        yield "rollout.percent", f"{plan.percent:g}"
        if plan.abort_when is not UNSET:
            for name in ("amplification", "window", "min_requests"):
                yield f"rollout.abort_when.{name}", written(getattr(plan.abort_when, name))
    for name in WireLimits.__struct_fields__:
        yield f"limits.{name}", limit_text(name, getattr(snapshot.limits, name))
    yield "via", written(snapshot.via)
    yield "access_log.sample", written(snapshot.access_log_sample)


def _sidecar_numbers(bootstrap: Bootstrap) -> Iterator[tuple[str, str]]:
    settings, sidecar = bootstrap.policy, bootstrap.sidecar
    if settings is not None and settings.url is not UNSET:
        yield "policy.poll", written(settings.poll)
        yield "policy.timeout", written(settings.timeout)
    if settings is not None and settings.keys:
        yield "policy.required", written(settings.required)
    if sidecar.ingress is not UNSET and sidecar.ingress.idempotency is not UNSET:
        for name in ("replicas", "max_request", "max_response", "lease"):
            yield f"ingress.idempotency.{name}", written(getattr(sidecar.ingress.idempotency, name))
    if sidecar.ingress is not UNSET:
        yield "ingress.contract.version", written(sidecar.ingress.contract.version)
    if sidecar.telemetry.traces is not UNSET:
        yield "telemetry.traces.sample", written(sidecar.telemetry.traces.sample)
    yield "drain", written(sidecar.drain)
    yield "minimum_drain", written(sidecar.minimum_drain)


def _steps(setting: str, resolution: Resolution) -> Iterator[Step]:
    """From the lowest layer up."""
    chain: list[Resolution] = []
    layer: Resolution | None = resolution
    while layer is not None:
        chain.append(layer)
        layer = layer.below
    in_force = resolution.provenance[setting]
    told: Origin | None = None
    for layer in reversed(chain):
        origin = layer.provenance[setting]
        if origin is not told:
            yield Step(origin, "in force" if origin is in_force else "overruled")
        told = origin
    excepted = resolution.excepted.get(setting)
    if excepted is not None and excepted.state is State.PENDING:
        yield Step(excepted.asked, "set aside: its exception is not live yet")
    if excepted is not None and excepted.state is State.EXPIRED:
        yield Step(excepted.asked, f"left out: its exception expired at {ends_at(excepted.grant.exception):%FT%RZ}")


def _plain(tree: Tree | None, field: str, value: str, source: Source, meaning: str) -> Explanation:
    path = tuple(field.split("."))
    said = tree is not None and path in tree.lines
    origin = Origin(value, source, *tree.place(path)) if said and tree else _built_in(value)
    return Explanation(field, origin, meaning, (Step(origin, "in force"),), None, None)


def _built_in(value: str) -> Origin:
    return Origin(value, Source.BASELINE, None, None)
