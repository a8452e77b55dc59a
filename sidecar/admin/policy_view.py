"""The policy in force as JSON: each number with its origin, and the exceptions as they stand at an instant."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sidecar.engine.destination import UNLISTED
from sidecar.engine.shadow import Shadow
from sidecar.governance.documents.bound import written
from sidecar.governance.documents.document import INGRESS_NAME
from sidecar.governance.documents.settings import ROUTE_SETTINGS
from sidecar.governance.policy.contract import IngressRoute
from sidecar.governance.policy.resolve import Origin
from sidecar.governance.policy.routes import RouteSnapshot
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.governance.policy.waivers import State, begins_at, ends_at, state_of


def policy_view(
    snapshot: Snapshot,
    now: datetime,
    *,
    origin: str,
    offered: int | None,
    rollout: str,
    shadows: Mapping[str, Shadow],
    warnings: Sequence[str],
    uses: Mapping[str, int],
) -> dict[str, object]:
    """`origin` and `rollout` are words of `governance.loading.standing`; `uses` counts requests, by exception."""
    return {
        "version": snapshot.version,
        "origin": origin,
        "authority": "managed" if snapshot.managed else "unmanaged",
        "offered": offered,
        "rollout": rollout,
        "dry_run": {name: _differences(shadow) for name, shadow in shadows.items()},
        "expires": None if snapshot.expires is None else snapshot.expires.isoformat(),
        "min_sidecar": snapshot.min_sidecar,
        "warnings": list(warnings),
        "owner": snapshot.owner,
        "digest": snapshot.policy_digest,
        "service": snapshot.service,
        "files": [str(file) for file in snapshot.files],
        "destinations": {name: _origins(destination.provenance) for name, destination in snapshot.destinations.items()},
        **({} if snapshot.ingress is None else {INGRESS_NAME: _origins(snapshot.ingress.provenance)}),
        UNLISTED: _origins(snapshot.unlisted_provenance),
        "routes": {
            name: [_call_route(route) for route in destination.routes]
            for name, destination in snapshot.destinations.items()
            if destination.routes
        },
        "ingress_routes": [] if snapshot.ingress is None else list(map(_ingress_route, snapshot.ingress.routes)),
        "exceptions": _exceptions(snapshot, uses, now),
    }


def _origins(provenance: Mapping[str, Origin]) -> dict[str, object]:
    return {
        field: {
            "value": origin.value,
            "source": origin.source.value,
            "place": origin.place,
            **({} if origin.exception is None else {"exception": origin.exception}),
        }
        for field, origin in sorted(provenance.items())
    }


def _call_route(route: RouteSnapshot) -> dict[str, object]:
    """A route with the numbers that may differ by route; budget, breaker and limit are its destination's."""
    match = {"match": route.origin}
    numbers = {
        setting: origin
        for setting, origin in route.resolution.provenance.items()
        if setting.partition(".")[0] in ROUTE_SETTINGS
    }
    return {"name": route.name, "settings": _origins(match | numbers)}


def _ingress_route(route: IngressRoute) -> dict[str, object]:
    """A route of the service itself with the terms of its Idempotency-Key contract; none where it is declared only."""
    terms = {} if route.resolution is None else route.resolution.provenance
    contract = {setting: origin for setting, origin in terms.items() if setting.startswith("idempotency.")}
    return {"name": route.name, "match": route.match.text, "settings": _origins(contract)}


def _exceptions(snapshot: Snapshot, uses: Mapping[str, int], now: datetime) -> list[dict[str, object]]:
    """The exceptions for this service. `remaining_seconds` are those of its life; 0 before and after."""
    asked = {
        excepted.grant.id: excepted.asked.place
        for resolution in snapshot.resolutions.values()
        for excepted in resolution.excepted.values()
    }
    views: list[dict[str, object]] = []
    for grant in snapshot.exceptions:
        exception = grant.exception
        state = state_of(exception, now)
        remaining = (ends_at(exception) - now).total_seconds()
        views.append(
            {
                "id": grant.id,
                "state": state.value,
                "remaining_seconds": remaining if state is State.LIVE else 0.0,
                "begins": begins_at(exception).isoformat(),
                "expires": ends_at(exception).isoformat(),
                "destination": exception.destination,
                "setting": exception.setting,
                "value": written(grant.value),
                "asked_at": asked.get(grant.id),
                "uses": uses[grant.id],
                "owner": exception.owner,
                "approved_by": exception.approved_by,
                "ticket": exception.ticket,
                "reason": exception.reason,
                "place": grant.place,
            }
        )
    return views


def _differences(shadow: Shadow) -> dict[str, int]:
    kinds = {difference.value: count for difference, count in shadow.differences.items()}
    return {"decisions": shadow.compared, **kinds}
