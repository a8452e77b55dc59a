"""The description of one setting, given beside its field: everything that governance knows of it, in one place.

Schemas, the reference, guardrails, ceilings, `diff`, `explain` and the policy of the engine are derived from it.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from msgspec import UNSET, Struct, field, inspect

from sidecar.governance.documents.bound import Bound
from sidecar.governance.documents.finding import RuleBreach, RuleId
from sidecar.governance.documents.units import Duration, Size


class Looser(Enum):
    """Of two values of a setting, the one that lets more load, or less care, through."""

    MORE = 1
    LESS = -1
    NEITHER = 0
    """Neither of them, or it depends on the traffic."""


class Binds(Enum):
    """The documents whose values a guardrail judges."""

    ALL = "all"
    ALL_BUT_DESTINATIONS = "all but destinations"
    """`defaults` of the policy and the teams. The value in `destinations` of the policy bounds the teams instead."""
    TEAMS = "teams"
    """The teams alone. The value in `defaults` or `destinations` of the policy bounds them instead."""


class EngineForm(Struct, frozen=True):
    """A setting's value as the engine has it, and back."""

    to_engine: Callable[[Any], object]
    from_engine: Callable[[Any], object]


SAME_FORM: Final = EngineForm(lambda value: value, lambda value: value)
_TYPE_FORMS: Final[Mapping[type, EngineForm]] = {
    Duration: EngineForm(float, Duration),
    Size: EngineForm(int, Size),
}


class Section(Struct, frozen=True):
    """A mapping that groups settings; `meaning` is one sentence for schemas and the reference."""

    meaning: str


class SettingSpec(Struct, frozen=True):
    """One setting. `meaning` is one sentence for schemas, the reference and `explain`.

    Of settings whose values are words, the words are declared from the tightest to the loosest.
    """

    meaning: str
    looser: Looser
    engine: str = ""
    """The field of DestinationPolicy that it sets, by dotted path; the setting's own path where it is left out."""
    form: EngineForm | None = None
    """The engine's form of the value, where it does not follow from the type."""
    default: object = UNSET
    """The built-in value of a setting that the engine does not run on; all others have the engine's."""
    ceiling: tuple[float, float] | None = None
    """The least and the most, whatever guardrails and exceptions say, where the engine has no such bound itself.

    The engine's own bounds keep its numbers meaningful. A ceiling keeps a protection from being switched off by a
    number that is meaningful and is never reached: a breaker that opens after a million failures. What is compiled in
    is not judged by it: the way to the service itself has no breaker.
    """
    rule: Callable[[frozenset[object]], RuleBreach | None] | None = None
    """The rule that a list breaks, beyond those of the engine."""
    guardrail: Bound | None = None
    """The built-in one, in force where the policy has none of its own for the setting."""
    binds: Binds = Binds.ALL
    replaceable: bool = True
    """Whether a guardrail of the policy may differ from the built-in one."""
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Words of JSON Schema that do not follow from the type and the ceiling."""
    path: str = ""
    """Its dotted path, filled in from its place in the document."""
    type: inspect.Type = field(default_factory=inspect.AnyType)
    """The type of its field, filled in likewise."""

    @property
    def ordered(self) -> bool:
        """Whether one value of it can be more than another."""
        return isinstance(self.type, (inspect.IntType, inspect.FloatType, inspect.CustomType))

    @property
    def words(self) -> tuple[object, ...]:
        """The values that there are, from the tightest to the loosest; empty where they are not listed."""
        match self.type:
            case inspect.EnumType(cls=enum):
                return tuple(enum)
            case inspect.LiteralType(values=values):
                return tuple(values)
            case inspect.BoolType():
                return (False, True) if self.looser is not Looser.LESS else (True, False)
        return ()

    @property
    def engine_path(self) -> str | None:
        """The field of DestinationPolicy that it sets, by dotted path; None where the engine does not run on it."""
        return (self.engine or self.path) if self.default is UNSET else None

    @property
    def engine_form(self) -> EngineForm:
        """The engine's form of its value."""
        if self.form is not None:
            return self.form
        if isinstance(self.type, inspect.CustomType):
            return _TYPE_FORMS[self.type.cls]
        return SAME_FORM

    @property
    def bounds(self) -> Mapping[str, Any]:
        """Its bounds as words of JSON Schema: those of a number that has no unit, and of the items of a list."""
        if self.ceiling is not None and isinstance(self.type, inspect.IntType):
            least, most = self.ceiling
            return {"minimum": least, "maximum": most, **self.schema}
        return self.schema

    def ceiling_rule(self, value: object) -> RuleBreach | None:
        """The rule that `value` breaks whatever the guardrails say, apart from the engine's own, or None."""
        if self.ceiling is not None and isinstance(value, (int, float)):
            least, most = self.ceiling
            if not least <= value <= most:
                return RuleBreach(f"must be between {least} and {most}", RuleId.BOUNDS)
        if self.rule is not None and isinstance(value, frozenset):
            return self.rule(value)
        return None

    def rank(self, value: object) -> float:
        """The rank of `value` among the values there are, for comparison with another of the same setting."""
        if isinstance(value, (int, float)):
            return float(value)
        return float(self.words.index(value))
