"""Bounds on settings, by dotted path: what no destination and no override may pass."""

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, UnsetType, inspect
from msgspec.structs import replace

from sidecar.governance.documents.bound import Bound, members_of, written
from sidecar.governance.documents.decoder import INVALID, Decoder
from sidecar.governance.documents.document import Guardrail
from sidecar.governance.documents.finding import Finding, RuleId, unknown
from sidecar.governance.documents.setting_spec import Binds, SettingSpec
from sidecar.governance.documents.settings import SETTINGS, held
from sidecar.governance.documents.yaml import Path, Tree

BASELINE_GUARDRAILS: Final[Mapping[str, Bound]] = {
    setting: spec.guardrail for setting, spec in SETTINGS.items() if spec.guardrail is not None
}
"""In force for every setting that a policy document has no guardrail for: what is not said is not loosened.

Their ceilings too, where a guardrail of the document leaves its own out and does not rise above them.
"""


def bound_of(setting: str, guardrails: Mapping[str, Bound], *, by_platform: bool) -> Bound | None:
    """The bound of a setting in `destinations` of the policy (`by_platform`) and in every other place."""
    return None if by_platform and SETTINGS[setting].binds is not Binds.ALL else guardrails.get(setting)


def settled_bound(setting: str, bound: Bound | None, value: object, place: str) -> Bound | None:
    """The bound of a team where the platform sets `value` for its destination, at `place`."""
    spec = SETTINGS[setting]
    if spec.binds is Binds.ALL or bound is None:
        return bound
    if spec.words:
        return replace(bound, place=place, only=frozenset({spec.words[0], value}))
    return replace(bound, place=place, high=value if isinstance(value, (int, float)) else bound.high)


def read_guardrails(guardrails: Mapping[str, Guardrail], tree: Tree, findings: list[Finding]) -> dict[str, Bound]:
    """Guardrails as bounds, beside the built-in ones; what is wrong is added to `findings`, and bounds nothing."""
    decoder = Decoder(tree, findings)
    bounds = dict(BASELINE_GUARDRAILS)
    for setting, guardrail in guardrails.items():
        path: Path = ("guardrails", setting)
        if setting not in SETTINGS:
            decoder.lacking(path, unknown(setting, SETTINGS), RuleId.UNKNOWN)
            continue
        bound = _bound(guardrail, SETTINGS[setting], path, decoder, f"{tree.file}:{tree.line(path)}")
        built_in = SETTINGS[setting].guardrail
        differs = bound is not None and built_in is not None and bound.only != built_in.only
        if differs and built_in is not None and not SETTINGS[setting].replaceable:
            stays = "{only: " + written(built_in.only) + "}"
            decoder.lacking(path, f"must stay as it is built in, {stays}: only an exception goes past it")
            continue
        if bound is not None:
            bounds[setting] = _reached(bound, guardrail, setting, path, decoder)
    return bounds


def _bound(guardrail: Guardrail, spec: SettingSpec, path: Path, decoder: Decoder, place: str) -> Bound | None:
    forms = [
        guardrail.min is not UNSET or guardrail.max is not UNSET,
        guardrail.only is not UNSET,
        guardrail.fixed is not UNSET,
    ]
    if sum(forms) != 1:
        decoder.lacking(path, "must be {min, max}, {only: [...]} or {fixed: true}", rule_id=RuleId.FORM)
        return None
    if guardrail.fixed is not UNSET:
        if guardrail.fixed is False:
            decoder.broken((*path, "fixed"), "must be true; leave the guardrail out otherwise", value=False)
            return None
        return Bound(place, fixed=True)
    if guardrail.only is not UNSET:
        item = item_type(spec.type)
        allowed = [decoder.value(word, item, (*path, "only", n)) for n, word in enumerate(guardrail.only)]
        return Bound(
            place, only=frozenset().union(*(members_of(held(word)) for word in allowed if word is not INVALID))
        )
    return _range(guardrail, spec, path, decoder, place)


def _range(guardrail: Guardrail, spec: SettingSpec, path: Path, decoder: Decoder, place: str) -> Bound | None:
    if not spec.ordered:
        decoder.lacking(path, "must be {only: [...]} or {fixed: true}: the setting has no order", rule_id=RuleId.FORM)
        return None
    low = UNSET if guardrail.min is UNSET else decoder.value(guardrail.min, spec.type, (*path, "min"))
    high = UNSET if guardrail.max is UNSET else decoder.value(guardrail.max, spec.type, (*path, "max"))
    least = low if isinstance(low, (int, float)) else UNSET
    most = high if isinstance(high, (int, float)) else UNSET
    if least is not UNSET and most is not UNSET and least > most:
        decoder.broken((*path, "min"), "must be at most max", guardrail.min, RuleId.BOUNDS)
        return None
    return Bound(place, low=least, high=most)


def _reached(bound: Bound, guardrail: Guardrail, setting: str, path: Path, decoder: Decoder) -> Bound:
    """The bound with how far exceptions reach past it."""
    spec = SETTINGS[setting]
    ends: dict[str, float | UnsetType] = {"floor": UNSET, "ceiling": UNSET}
    for word, partner in (("floor", "min"), ("ceiling", "max")):
        written_end = getattr(guardrail, word)
        if written_end is UNSET:
            continue
        if getattr(guardrail, partner) is UNSET and not (bound.fixed and spec.ordered):
            decoder.lacking(
                (*path, word),
                f"goes with {partner} only: it says how far past it an exception may go",
                RuleId.COMBINATION,
            )
            continue
        end = decoder.value(written_end, spec.type, (*path, word))
        if isinstance(end, (int, float)):
            ends[word] = end
    floor, ceiling = ends["floor"], ends["ceiling"]
    if floor is not UNSET and bound.low is not UNSET and floor > bound.low:
        decoder.broken((*path, "floor"), "must be at most min", guardrail.floor, RuleId.BOUNDS)
    if ceiling is not UNSET and bound.high is not UNSET and ceiling < bound.high:
        decoder.broken((*path, "ceiling"), "must be at least max", guardrail.ceiling, RuleId.BOUNDS)
    built_in = BASELINE_GUARDRAILS.get(setting)
    if ceiling is UNSET and built_in is not None and built_in.ceiling is not UNSET:
        ceiling = built_in.ceiling if bound.high is UNSET else max(built_in.ceiling, bound.high)
    return replace(bound, floor=floor, ceiling=ceiling, hard=guardrail.level is not UNSET)


def item_type(info: inspect.Type) -> inspect.Type:
    """The type of the items of a list-valued setting; any other setting's own type."""
    if isinstance(info, inspect.ListType):
        return info.item_type
    if isinstance(info, inspect.UnionType):
        lists = [part for part in info.types if isinstance(part, inspect.ListType)]
        return lists[0].item_type if lists else info
    return info
