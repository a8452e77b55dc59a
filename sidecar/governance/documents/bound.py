"""A bound on one setting: the values that neither an override nor a destination of the platform may pass."""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from sidecar.governance.documents.finding import shown
from sidecar.governance.documents.units import Duration, Size

BUILT_IN: Final = "built in"
"""The place of a bound that no document has written."""


class Bound(Struct, frozen=True):
    """The bounds of one setting. UNSET bounds nothing. `place` says where it is written, for findings.

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
        if self.only is not UNSET and not members_of(value) <= self.only:
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
            return members_of(value) <= self.only | members_of(excepted)
        if isinstance(value, (int, float)) and isinstance(excepted, (int, float)):
            return (self.high is UNSET or value <= max(self.high, excepted)) and (
                self.low is UNSET or value >= min(self.low, excepted)
            )
        return False


def written(value: object) -> str:
    """A setting as people write it."""
    if isinstance(value, (list, frozenset, tuple)):
        return f"[{', '.join(sorted(written(item) for item in value))}]"
    if isinstance(value, (Duration, Size, str)):
        return str(value)
    word = getattr(value, "value", value)
    return str(word) if isinstance(word, str) else shown(word)


def members_of(value: object) -> frozenset[object]:
    """The items of a list-valued setting; of any other value the value itself."""
    return frozenset(value) if isinstance(value, frozenset) else frozenset({value})
