"""The effect of a policy change on services: each number in force before and after, where they differ.

A guardrail, a default and an exception say what may be. Only together with the services' own files do they say what is.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.policy.bootstrap import Bootstrap
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.platform_policy import Platform
from sidecar.governance.policy.resolve import Resolution
from sidecar.governance.policy.snapshot import Snapshot, compiled
from sidecar.governance.review.diff import Effect, effect_of


class EffectiveChange(Struct, frozen=True):
    """One number that becomes another. `place` is where the new one is written, and `built in` for what is nowhere."""

    effect: Effect
    destination: str
    setting: str
    before: str
    after: str
    place: str


class ServiceEffect(Struct, frozen=True):
    """The change for one service. `refused` has the findings for which its sidecars would not take the new policy.

    With `refused_before` they did not take the old one either: then there is nothing to compare with.
    """

    service: str
    file: str
    destinations: int
    changes: tuple[EffectiveChange, ...]
    refused: tuple[Finding, ...]
    refused_before: bool


def effects(old: Platform, new: Platform, services: Iterable[Bootstrap], now: datetime) -> Iterator[ServiceEffect]:
    """The effect of the step from `old` to `new` on each of the services, at `now`."""
    for bootstrap in services:
        before, after = _under(old, bootstrap, now), _under(new, bootstrap, now)
        changes: tuple[EffectiveChange, ...] = ()
        if isinstance(before, Snapshot) and isinstance(after, Snapshot):
            changes = tuple(_changes(before, after))
        yield ServiceEffect(
            service=bootstrap.sidecar.service,
            file=str(bootstrap.file),
            destinations=len(bootstrap.sidecar.destinations),
            changes=changes,
            refused=() if isinstance(after, Snapshot) else after,
            refused_before=not isinstance(before, Snapshot),
        )


def _under(platform: Platform, bootstrap: Bootstrap, now: datetime) -> Snapshot | tuple[Finding, ...]:
    """The snapshot in force under this policy, or the findings that prevent one."""
    assert platform.tree is not None
    try:
        return compiled(bootstrap, Delivery(platform.tree.file, platform.content), [], now)
    except InvalidDocument as error:
        return tuple(error.findings)


def _changes(before: Snapshot, after: Snapshot) -> Iterator[EffectiveChange]:
    for name in dict.fromkeys((*after.resolutions, *before.resolutions)):
        resolution, was = _resolution(after, name), _resolution(before, name)
        for setting, value in resolution.values.items():
            if value != was.values[setting]:
                origin = resolution.provenance[setting]
                yield EffectiveChange(
                    effect_of(setting, was.values[setting], value),
                    name,
                    setting,
                    was.provenance[setting].value,
                    origin.value,
                    origin.place,
                )


def _resolution(snapshot: Snapshot, name: str) -> Resolution:
    """Of a destination, or of a route; of one that there is not, its destination's."""
    found = snapshot.resolutions
    return found.get(name) or found[name.partition(".")[0]]
