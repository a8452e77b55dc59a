"""The effect of a policy change: which numbers it loosens, which it tightens, and for which services.

Looser is what lets more load or less care through. A change that does so without a rise of `version` is a finding: the
fleet, its metrics and its signatures tell policies apart by that number.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Final

from msgspec import UNSET, Struct

from sidecar.governance.documents.bound import Bound, written
from sidecar.governance.documents.document import AbortCondition, PolicyException
from sidecar.governance.documents.finding import Finding, RuleId
from sidecar.governance.documents.limits import WireLimits, limit_text
from sidecar.governance.documents.setting_spec import Looser
from sidecar.governance.documents.settings import SETTINGS
from sidecar.governance.documents.version import unfollowable
from sidecar.governance.policy.platform_policy import Platform
from sidecar.governance.policy.waivers import Grant, State, state_of

EVERY_SERVICE: Final = "every service"


class Effect(Enum):
    """The direction of a change."""

    LOOSENS = "loosens"
    TIGHTENS = "tightens"
    CHANGES = "changes"
    """Neither, or it depends on the traffic."""


_LOOSER_LIMITS: Final = frozenset(
    ("head_bytes", "headers", "target_bytes", "body_bytes", "connections", "upstream_head_bytes", "upstream_headers")
)
_ENDLESS: Final = float("inf")


class Change(Struct, frozen=True):
    """One difference. `before` or `after` is None where there was or is nothing; `line` is of the new document."""

    effect: Effect
    field: str
    before: str | None
    after: str | None
    whom: str
    line: int | None


class Comparison(Struct, frozen=True):
    """Two versions of a policy. `findings` is not empty when the new one must not replace the old one."""

    old_version: int
    new_version: int
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]

    @property
    def loosens(self) -> bool:
        """Whether anything is looser than before."""
        return any(change.effect is Effect.LOOSENS for change in self.changes)


def compare(old: Platform, new: Platform, now: datetime) -> Comparison:
    """The differences between two policies that hold together, at `now`."""
    changes = (
        *_default_changes(old, new),
        *_destination_changes(old, new),
        *_route_changes(old, new),
        *_guardrail_changes(old, new),
        *_exception_changes(old, new, now),
        *_limit_changes(old, new),
        *_abort_changes(old, new),
        *_other_changes(old, new),
    )
    comparison = Comparison(old.version, new.version, changes, ())
    rule = None
    if new.version < old.version:
        rule = f"must rise: it was {old.version}, and a lower version is refused as a rollback"
    elif new.version == old.version and comparison.loosens:
        rule = f"must rise: the policy is loosened, and {old.version} was its version before"
    rule_id = RuleId.BOUNDS if rule is None else RuleId.VERSION
    rule = rule or unfollowable(new.version, old.version)
    if rule is None or new.tree is None:
        return comparison
    finding = Finding(new.tree.file, new.tree.line(("version",)), "version", rule, str(new.version), rule_id)
    return Comparison(old.version, new.version, changes, (finding,))


def effect_of(setting: str, before: object, after: object) -> Effect:
    """The effect of changing a setting from one value to another."""
    spec = SETTINGS[setting]
    if spec.looser is Looser.NEITHER:
        return Effect.CHANGES
    if isinstance(before, frozenset) and isinstance(after, frozenset):
        more, fewer = bool(after - before), bool(before - after)
        return Effect.LOOSENS if (more if spec.looser is Looser.MORE else fewer) else Effect.TIGHTENS
    return Effect.LOOSENS if (spec.rank(after) - spec.rank(before)) * spec.looser.value > 0 else Effect.TIGHTENS


def _default_changes(old: Platform, new: Platform) -> Iterator[Change]:
    for setting, before in old.defaults.values.items():
        after = new.defaults.values[setting]
        if before != after:
            yield _setting_change(setting, f"defaults.{setting}", before, after, EVERY_SERVICE, new)


def _destination_changes(old: Platform, new: Platform) -> Iterator[Change]:
    for name in dict.fromkeys((*old.destinations, *new.destinations)):
        below, above = old.destination(name), new.destination(name)
        for setting, before in below.values.items():
            after = above.values[setting]
            inherited = before == old.defaults.values[setting] and after == new.defaults.values[setting]
            if before != after and not inherited:
                whom = f"every service that calls {name}"
                yield _setting_change(setting, f"destinations.{name}.{setting}", before, after, whom, new)


def _route_changes(old: Platform, new: Platform) -> Iterator[Change]:
    for destination in dict.fromkeys((*old.routes, *new.routes)):
        before = {route.name: route for route in old.routes.get(destination, ())}
        after = {route.name: route for route in new.routes.get(destination, ())}
        whom = f"every service that calls {destination}"
        for name in dict.fromkeys((*before, *after)):
            was, now_is = before.get(name), after.get(name)
            field = f"destinations.{destination}.routes.{name}"
            line = None if now_is is None else now_is.layer.tree.line(now_is.layer.at)
            older = None if was is None else was.match.text
            newer = None if now_is is None else now_is.match.text
            if older != newer:
                yield Change(Effect.CHANGES, f"{field}.match", older, newer, whom, line)
            below = old.destination(destination).values if was is None else was.resolution.values
            above = new.destination(destination).values if now_is is None else now_is.resolution.values
            for setting, value in below.items():
                inherited = (
                    value == old.destination(destination).values[setting]
                    and above[setting] == new.destination(destination).values[setting]
                )
                if value != above[setting] and not inherited:
                    effect = effect_of(setting, value, above[setting])
                    yield Change(effect, f"{field}.{setting}", written(value), written(above[setting]), whom, line)
        if [*before] != [*after] and before.keys() == after.keys():
            order = ", ".join(before), ", ".join(after)
            yield Change(Effect.CHANGES, f"destinations.{destination}.routes", *order, whom, None)


def _setting_change(setting: str, field: str, before: object, after: object, whom: str, new: Platform) -> Change:
    return Change(
        effect_of(setting, before, after), field, written(before), written(after), whom, _line(new, *field.split("."))
    )


def _line(platform: Platform, *path: str | int) -> int | None:
    """The line of something that is written; None when it is not."""
    return None if platform.tree is None else platform.tree.lines.get(path)


def _guardrail_changes(old: Platform, new: Platform) -> Iterator[Change]:
    for setting in dict.fromkeys((*old.bounds, *new.bounds)):
        before, after = old.bounds.get(setting), new.bounds.get(setting)
        texts = (None if before is None else before.text, None if after is None else after.text)
        if texts[0] != texts[1]:
            effect = _bound_effect(before, after)
            yield Change(effect, f"guardrails.{setting}", *texts, EVERY_SERVICE, _line(new, "guardrails", setting))


def _bound_effect(before: Bound | None, after: Bound | None) -> Effect:
    if before is None or after is None:
        return Effect.TIGHTENS if before is None else Effect.LOOSENS
    if before.fixed != after.fixed:
        return Effect.LOOSENS if before.fixed else Effect.TIGHTENS
    steps = (
        _end(after.high) - _end(before.high) if after.high != before.high else 0.0,
        _end(after.ceiling) - _end(before.ceiling) if after.ceiling != before.ceiling else 0.0,
        _low(before.low) - _low(after.low) if after.low != before.low else 0.0,
        _low(before.floor) - _low(after.floor) if after.floor != before.floor else 0.0,
        float(before.hard) - float(after.hard),
        *_only_steps(before, after),
    )
    if any(step > 0 for step in steps):
        return Effect.LOOSENS
    return Effect.TIGHTENS if any(step < 0 for step in steps) else Effect.CHANGES


def _end(value: object) -> float:
    return value if isinstance(value, (int, float)) else _ENDLESS


def _low(value: object) -> float:
    return value if isinstance(value, (int, float)) else -_ENDLESS


def _only_steps(before: Bound, after: Bound) -> Iterator[float]:
    if before.only is UNSET or after.only is UNSET:
        yield float(before.only is not UNSET) - float(after.only is not UNSET)
    else:
        yield 1.0 if after.only - before.only else 0.0
        yield -1.0 if before.only - after.only else 0.0


def _exception_changes(old: Platform, new: Platform, now: datetime) -> Iterator[Change]:
    before = {grant.id: grant for grant in old.grants}
    after = {grant.id: grant for grant in new.grants}
    for identity in dict.fromkeys((*before, *after)):
        was, now_is = before.get(identity), after.get(identity)
        if was is not None and now_is is not None and was.exception == now_is.exception:
            continue
        grant = now_is or was
        assert grant is not None
        yield Change(
            _exception_effect(was, now_is, new, now),
            f"exceptions.{identity}",
            None if was is None else _said(was),
            None if now_is is None else _said(now_is),
            ", ".join(sorted({*(was.services if was else ()), *(now_is.services if now_is else ())})),
            None if now_is is None else now_is.line,
        )


def _exception_effect(was: Grant | None, now_is: Grant | None, new: Platform, now: datetime) -> Effect:
    if was is None or now_is is None:
        grant = was or now_is
        assert grant is not None
        if state_of(grant.exception, now) is State.EXPIRED:
            return Effect.CHANGES
        return Effect.LOOSENS if was is None else Effect.TIGHTENS
    older, newer = was.exception, now_is.exception
    bound = new.bounds.get(newer.setting)
    same_place = (older.setting, older.destination) == (newer.setting, newer.destination)
    further = was.value != now_is.value and (bound is None or not bound.excuses(now_is.value, was.value))
    if not same_place or further or now_is.services - was.services or _longer(older, newer):
        return Effect.LOOSENS
    same_reach = was.value == now_is.value and was.services == now_is.services and not _longer(newer, older)
    return Effect.CHANGES if same_reach else Effect.TIGHTENS


def _longer(older: PolicyException, newer: PolicyException) -> bool:
    return newer.expires > older.expires or newer.not_before < older.not_before


def _said(grant: Grant) -> str:
    exception = grant.exception
    term = f"{exception.not_before} to {exception.expires}"
    return f"{exception.setting} to {written(grant.value)} for {exception.destination}, {term}"


def _limit_changes(old: Platform, new: Platform) -> Iterator[Change]:
    for name in WireLimits.__struct_fields__:
        before, after = getattr(old.limits, name), getattr(new.limits, name)
        if before == after:
            continue
        effect = Effect.CHANGES
        if name in _LOOSER_LIMITS:
            effect = Effect.LOOSENS if _end(after) > _end(before) else Effect.TIGHTENS
        place = _line(new, "limits", name)
        texts = (limit_text(name, before), limit_text(name, after))
        yield Change(effect, f"limits.{name}", *texts, EVERY_SERVICE, place)


def _abort_changes(old: Platform, new: Platform) -> Iterator[Change]:
    """When a version is given up by itself: to leave it out, or to bear more, is looser."""
    before, after = _abort_condition(old), _abort_condition(new)
    if new.rollout is None or old.rollout is None or before == after:
        return
    if before is None or after is None:
        effect = Effect.TIGHTENS if before is None else Effect.LOOSENS
        texts = (_condition_text(before), _condition_text(after))
        yield Change(effect, "rollout.abort_when", *texts, EVERY_SERVICE, _line(new, "rollout", "abort_when"))
        return
    for name, looser in (("amplification", Looser.MORE), ("window", Looser.NEITHER), ("min_requests", Looser.MORE)):
        was, now_is = getattr(before, name), getattr(after, name)
        if was != now_is:
            effect = Effect.CHANGES
            if looser is Looser.MORE:
                effect = Effect.LOOSENS if now_is > was else Effect.TIGHTENS
            line = _line(new, "rollout", "abort_when", name)
            yield Change(effect, f"rollout.abort_when.{name}", written(was), written(now_is), EVERY_SERVICE, line)


def _abort_condition(platform: Platform) -> AbortCondition | None:
    plan = platform.rollout
    return None if plan is None or plan.abort_when is UNSET else plan.abort_when


def _condition_text(condition: AbortCondition | None) -> str | None:
    if condition is None:
        return None
    return f"{condition.amplification:g} over {condition.window}, from {condition.min_requests} requests on"


def _other_changes(old: Platform, new: Platform) -> Iterator[Change]:
    for name, (before, after) in {
        "owner": (old.owner, new.owner),
        "via": (written(old.via), written(new.via)),
        "access_log.sample": (written(old.access_log_sample), written(new.access_log_sample)),
        "dry_run": (written(old.dry_run), written(new.dry_run)),
        "expires": (_text(old.expires), _text(new.expires)),
        "min_sidecar": (_text(old.min_sidecar), _text(new.min_sidecar)),
        "rollout.percent": (_percent(old), _percent(new)),
    }.items():
        if before != after:
            yield Change(Effect.CHANGES, name, before, after, EVERY_SERVICE, _line(new, *name.split(".")))


def _percent(platform: Platform) -> str | None:
    return None if platform.rollout is None else f"{platform.rollout.percent:g}"


def _text(value: object) -> str | None:
    return None if value is None else str(value)
