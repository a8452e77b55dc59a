"""Bounds on settings, by dotted path: what no destination and no override may pass."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from msgspec import UNSET, UnsetType, inspect

from sidecar.governance.documents.decoder import INVALID, Decoder
from sidecar.governance.documents.document import Guardrail
from sidecar.governance.documents.finding import Finding, shown, unknown
from sidecar.governance.documents.settings import ORDERED, SETTINGS, held
from sidecar.governance.documents.units import Duration, Size
from sidecar.governance.documents.yaml import Path, Tree


@dataclass(frozen=True, slots=True)
class Bound:
    """What one setting may be. UNSET bounds nothing. `place` says where it is written, for findings.

    An exception reaches past `low` down to `floor` and past `high` up to `ceiling`, and no further. A `hard` one wants
    two approvers and a short life.
    """

    place: str
    low: float | UnsetType = UNSET
    high: float | UnsetType = UNSET
    only: frozenset[object] | UnsetType = UNSET
    fixed: bool = False
    floor: float | UnsetType = UNSET
    ceiling: float | UnsetType = UNSET
    hard: bool = False

    @property
    def text(self) -> str:
        """As a document writes it: `{max: 0.2, ceiling: 0.5}`."""
        parts = [
            f"{word}: {end}"
            for word, end in (("min", self.low), ("floor", self.floor), ("max", self.high), ("ceiling", self.ceiling))
            if end is not UNSET
        ]
        if self.only is not UNSET:
            parts.append(f"only: {written(self.only)}")
        if self.fixed:
            parts.insert(0, "fixed: true")
        if self.hard:
            parts.append("level: hard")
        return f"{{{', '.join(parts)}}}"

    def broken(self, value: object, settled: object) -> str | None:
        """The rule that `value` breaks, or None. `settled` is the platform's own, which a fixed setting keeps."""
        if self.fixed and value != settled:
            return f"must stay {written(settled)} (guardrail, {self.place})"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if self.low is not UNSET and value < self.low:
                return f"must be at least {self.low} (guardrail, {self.place})"
            if self.high is not UNSET and value > self.high:
                return f"must be at most {self.high} (guardrail, {self.place})"
        if self.only is not UNSET and not _members(value) <= self.only:
            words = ", ".join(sorted(written(word) for word in self.only))
            return f"must be only {words} (guardrail, {self.place})"
        return None

    def culprit(self, value: object) -> object:
        """The one item of a list that is not among `only`; None where there is none, or the value is no list."""
        if self.only is UNSET or not isinstance(value, frozenset):
            return None
        return next(iter(sorted(value - self.only, key=str)), None)

    def out_of_reach(self, value: object) -> str | None:
        """The rule that an exception for `value` breaks, or None."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if self.floor is not UNSET and value < self.floor:
                return f"must be at least {self.floor} (floor of the guardrail, {self.place})"
            if self.ceiling is not UNSET and value > self.ceiling:
                return f"must be at most {self.ceiling} (ceiling of the guardrail, {self.place})"
        return None

    def excuses(self, value: object, excepted: object) -> bool:
        """Whether an exception for `excepted` lets `value`, which breaks this bound, past it: no further than that."""
        if self.fixed:
            return value == excepted
        if self.only is not UNSET:
            return _members(value) <= self.only | _members(excepted)
        if isinstance(value, (int, float)) and isinstance(excepted, (int, float)):
            return (self.high is UNSET or value <= max(self.high, excepted)) and (
                self.low is UNSET or value >= min(self.low, excepted)
            )
        return False


BASELINE_GUARDRAILS: Mapping[str, Bound] = {
    "budget.ratio": Bound("built in", high=0.2, ceiling=0.5),
    "budget.window": Bound("built in", low=Duration(5)),
    "budget.min_retries": Bound("built in", high=10, ceiling=50),
    "retry.max_attempts": Bound("built in", high=4, ceiling=6),
    "retry.window": Bound("built in", high=Duration(30), ceiling=Duration(300)),
    "retry.statuses": Bound("built in", only=frozenset({429, 502, 503, 504})),
    "retry.backoff.jitter": Bound("built in", only=frozenset({"full"})),
    "retry.retry_after.honour": Bound("built in", only=frozenset({True})),
    "breaker.failure_ratio": Bound("built in", high=0.8),
    "breaker.window": Bound("built in", low=Duration(5), high=Duration(60)),
    "breaker.min_requests": Bound("built in", high=50, ceiling=200),
    "breaker.consecutive_failures": Bound("built in", high=50, ceiling=200),
    "breaker.open": Bound("built in", low=Duration(0.1)),
    "breaker.probes": Bound("built in", high=5, ceiling=20),
    "concurrency.initial": Bound("built in", high=200, ceiling=1000),
    "concurrency.min_in_flight": Bound("built in", high=50, ceiling=200),
    "concurrency.max_in_flight": Bound("built in", high=4096, ceiling=8192),
    "concurrency.max_waiting": Bound("built in", high=4096, ceiling=8192),
    "tls.verify": Bound("built in", only=frozenset({True})),
    "mode": Bound("built in", only=frozenset({"enforce"})),
    "idempotency_key.honours": Bound("built in", only=frozenset({False})),
    "idempotency_key.retention": Bound("built in", high=Duration(86400)),
    "idempotency.retention": Bound("built in", low=Duration(3600), floor=Duration(60)),
}
"""In force for every setting that a policy document has no guardrail for: what is not said is not loosened.

Their ceilings too, where a guardrail of the document leaves its own out and does not rise above them.
"""


UNLOOSENED = frozenset({"tls.verify"})
"""Settings whose built-in guardrail no document replaces: there is no way past it but an exception."""


SETTLED_BY_THE_PLATFORM = frozenset({"mode", "idempotency_key.honours", "idempotency_key.retention"})
"""Settings whose guardrail binds `defaults` and the teams, and not `destinations` of the policy.

The guardrail of `mode` binds teams alone: `defaults` may say it of the whole fleet.

What the platform says there about one destination binds the teams in the guardrail's place: they may ask for less, and
never for more.
"""


def bound_of(setting: str, guardrails: Mapping[str, Bound], *, by_platform: bool) -> Bound | None:
    """What bounds a setting in `destinations` of the policy (`by_platform`) and in every other place."""
    return None if by_platform and setting in SETTLED_BY_THE_PLATFORM else guardrails.get(setting)


def settled_bound(setting: str, bound: Bound | None, value: object, place: str) -> Bound | None:
    """What bounds a team where the platform says `value` about its destination, at `place`."""
    if setting not in SETTLED_BY_THE_PLATFORM or bound is None:
        return bound
    if isinstance(value, (bool, str)):
        tightest = "enforce" if setting == "mode" else False
        return replace(bound, place=place, only=frozenset({tightest, value}))
    return replace(bound, place=place, high=value if isinstance(value, (int, float)) else bound.high)


def written(value: object) -> str:
    """A setting as people write it."""
    if isinstance(value, (list, frozenset, tuple)):
        return f"[{', '.join(sorted(written(item) for item in value))}]"
    if isinstance(value, (Duration, Size, str)):
        return str(value)
    word = getattr(value, "value", value)
    return str(word) if isinstance(word, str) else shown(word)


def read_guardrails(guardrails: Mapping[str, Guardrail], tree: Tree, findings: list[Finding]) -> dict[str, Bound]:
    """Guardrails as bounds, beside the built-in ones; what is wrong is added to `findings`, and bounds nothing."""
    decoder = Decoder(tree, findings)
    bounds = dict(BASELINE_GUARDRAILS)
    for setting, guardrail in guardrails.items():
        path: Path = ("guardrails", setting)
        if setting not in SETTINGS:
            decoder.lacking(path, unknown(setting, SETTINGS))
            continue
        bound = _bound(guardrail, SETTINGS[setting], path, decoder, f"{tree.file}:{tree.line(path)}")
        if setting in UNLOOSENED and bound is not None and bound.only != BASELINE_GUARDRAILS[setting].only:
            decoder.lacking(path, f"must stay as it is built in, {_rule_of(setting)}: only an exception goes past it")
            continue
        if bound is not None:
            bounds[setting] = _reached(bound, guardrail, setting, path, decoder)
    return bounds


def _rule_of(setting: str) -> str:
    return "{only: " + written(BASELINE_GUARDRAILS[setting].only) + "}"


def _bound(guardrail: Guardrail, info: inspect.Type, path: Path, decoder: Decoder, place: str) -> Bound | None:
    forms = [
        guardrail.min is not UNSET or guardrail.max is not UNSET,
        guardrail.only is not UNSET,
        guardrail.fixed is not UNSET,
    ]
    if sum(forms) != 1:
        decoder.lacking(path, "must be {min, max}, {only: [...]} or {fixed: true}")
        return None
    if guardrail.fixed is not UNSET:
        if guardrail.fixed is False:
            decoder.broken((*path, "fixed"), "must be true; leave the guardrail out otherwise", value=False)
            return None
        return Bound(place, fixed=True)
    if guardrail.only is not UNSET:
        item = _item(info)
        allowed = [decoder.value(word, item, (*path, "only", n)) for n, word in enumerate(guardrail.only)]
        return Bound(place, only=frozenset().union(*(_members(held(word)) for word in allowed if word is not INVALID)))
    return _range(guardrail, info, path, decoder, place)


def _range(guardrail: Guardrail, info: inspect.Type, path: Path, decoder: Decoder, place: str) -> Bound | None:
    if not isinstance(info, ORDERED):
        decoder.lacking(path, "must be {only: [...]} or {fixed: true}: the setting has no order")
        return None
    low = UNSET if guardrail.min is UNSET else decoder.value(guardrail.min, info, (*path, "min"))
    high = UNSET if guardrail.max is UNSET else decoder.value(guardrail.max, info, (*path, "max"))
    least = low if isinstance(low, (int, float)) else UNSET
    most = high if isinstance(high, (int, float)) else UNSET
    if least is not UNSET and most is not UNSET and least > most:
        decoder.broken((*path, "min"), "must be at most max", guardrail.min)
        return None
    return Bound(place, low=least, high=most)


def _reached(bound: Bound, guardrail: Guardrail, setting: str, path: Path, decoder: Decoder) -> Bound:
    """The bound with how far exceptions reach past it."""
    info = SETTINGS[setting]
    ends: dict[str, float | UnsetType] = {"floor": UNSET, "ceiling": UNSET}
    for word, partner in (("floor", "min"), ("ceiling", "max")):
        written_end = getattr(guardrail, word)
        if written_end is UNSET:
            continue
        if getattr(guardrail, partner) is UNSET and not (bound.fixed and isinstance(info, ORDERED)):
            decoder.lacking((*path, word), f"goes with {partner} only: it says how far past it an exception may go")
            continue
        end = decoder.value(written_end, info, (*path, word))
        if isinstance(end, (int, float)):
            ends[word] = end
    floor, ceiling = ends["floor"], ends["ceiling"]
    if floor is not UNSET and bound.low is not UNSET and floor > bound.low:
        decoder.broken((*path, "floor"), "must be at most min", guardrail.floor)
    if ceiling is not UNSET and bound.high is not UNSET and ceiling < bound.high:
        decoder.broken((*path, "ceiling"), "must be at least max", guardrail.ceiling)
    built_in = BASELINE_GUARDRAILS.get(setting)
    if ceiling is UNSET and built_in is not None and built_in.ceiling is not UNSET:
        ceiling = built_in.ceiling if bound.high is UNSET else max(built_in.ceiling, bound.high)
    return replace(bound, floor=floor, ceiling=ceiling, hard=guardrail.level is not UNSET)


def _item(info: inspect.Type) -> inspect.Type:
    """What a list-valued setting is a list of; any other setting's own type."""
    if isinstance(info, inspect.ListType):
        return info.item_type
    if isinstance(info, inspect.UnionType):
        lists = [part for part in info.types if isinstance(part, inspect.ListType)]
        return lists[0].item_type if lists else info
    return info


def _members(value: object) -> frozenset[object]:
    return frozenset(value) if isinstance(value, frozenset) else frozenset({value})
