"""The rule of an operation: by tag, path, words and `x-surface`, and whether it has an effect at all.

A label may add to what an operation is taken for, and never take away: `x-surface` can name a rule that stands before
the one that tags, paths and words find, `x-side-effect: false` is believed only where the rules' own `reads` agree.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from sidecar.governance.documents.gate import GateDocument, SurfaceMatch, SurfaceRule
from sidecar.review.operations import REPEATABLE_METHODS, SAFE_METHODS, ApiOperation, OperationKind

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_READING: Final = frozenset(
    {"get", "list", "find", "fetch", "read", "search", "query", "show", "retrieve", "is", "has"}
)
_PARAMETER: Final = re.compile(r"\{[^{}]*\}")


class RepetitionEffect(Enum):
    """The effect of repeating an operation, as far as its description can be believed."""

    NONE = "none"
    """A safe method, or a read by the rules."""
    REPEATABLE = "repeatable"
    """PUT and DELETE: a repetition changes nothing more."""
    SINGLE = "single"
    """A repetition may have a second effect."""
    DENIED = "denied"
    """As SINGLE, and labelled as having none."""
    HIDDEN = "hidden"
    """A safe method that says itself that it has an effect, or is called by a verb of effect."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The rule of an operation, None where it is on no sensitive surface. `label` is what is wrong with `x-surface`."""

    rule: SurfaceRule | None
    label: str | None = None


class Surfaces:
    """The rules of a gate, ready to be asked about many operations."""

    def __init__(self, document: GateDocument) -> None:
        self._rules = tuple((rule, _Matcher(rule.match), _Matcher(rule.unless)) for rule in document.rules)
        self._names = [rule.id for rule in document.rules]
        self._reads = _Matcher(document.reads)
        self._effects = frozenset(document.effects)

    def place(self, operation: ApiOperation) -> Placement:
        """The first rule that the operation fits, or an earlier one that it names in `x-surface`."""
        found = next(
            (
                number
                for number, (rule, match, unless) in enumerate(self._rules)
                if operation.kind.value in rule.kinds and _fits(operation, match, unless)
            ),
            None,
        )
        label = operation.extension("x-surface")
        if label is None:
            return Placement(None if found is None else self._rules[found][0])
        return self._labelled(label, found)

    def effect(self, operation: ApiOperation) -> RepetitionEffect:
        """The effect of repeating the operation."""
        marked = operation.extension("x-side-effect")
        if operation.method in SAFE_METHODS:
            return RepetitionEffect.HIDDEN if marked is True or self._verb(operation) else RepetitionEffect.NONE
        if operation.method in REPEATABLE_METHODS:
            return RepetitionEffect.SINGLE if marked is True else RepetitionEffect.REPEATABLE
        if marked is not True and self._reads.fits_path(operation):
            return RepetitionEffect.NONE
        return RepetitionEffect.DENIED if marked is False else RepetitionEffect.SINGLE

    def verb(self, operation: ApiOperation) -> str | None:
        """The word of a safe operation that says that it has an effect."""
        return self._verb(operation)

    def _labelled(self, label: object, found: int | None) -> Placement:
        rule = None if found is None else self._rules[found][0]
        if label not in self._names:
            known = ", ".join(self._names)
            return Placement(rule, f"must name a rule of the gate: {known}")
        named = self._names.index(str(label))
        if found is not None and named > found:
            assert rule is not None
            why = f"its tags, path or words put it under {rule.id}, which comes first"
            return Placement(rule, f"must not take an operation away from a stricter rule: {why}")
        return Placement(self._rules[named][0])

    def _verb(self, operation: ApiOperation) -> str | None:
        """The verb as it is written: `transfers` is a noun, and what is called `transfersGet` says what it does."""
        if operation.kind is not OperationKind.REQUEST:
            return None
        own: list[str] = [word.lower() for word in _WORD.findall(operation.id)]
        if own and _READING & {own[0], own[-1]}:
            return None
        if own and own[0] in self._effects:
            return own[0]
        last = _WORD.findall(operation.written_path.rstrip("/").rsplit("/", 1)[-1])
        literal = bool(last) and "{" not in operation.written_path.rsplit("/", 1)[-1]
        first: str = last[0].lower() if literal else ""
        return first if first in self._effects else None


def _fits(operation: ApiOperation, match: "_Matcher", unless: "_Matcher") -> bool:
    """Labels take out what labels put in; what fits by its path is taken out by its path alone."""
    if unless.fits_path(operation):
        return False
    if match.empty or match.fits_path(operation):
        return True
    return match.fits_label(operation) and not unless.fits_label(operation)


class _Matcher:
    def __init__(self, match: SurfaceMatch) -> None:
        self.empty = not (match.tags or match.paths or match.words)
        self._tags = frozenset(tag.casefold() for tag in match.tags)
        self._paths = [_glob(pattern) for pattern in match.paths]
        self._phrases = [frozenset(stem(word) for word in phrase.split()) for phrase in match.words]

    def fits_label(self, operation: ApiOperation) -> bool:
        """Whether one of the tags or words is the operation's."""
        return any(tag.casefold() in self._tags for tag in operation.tags) or self._fits_words(operation)

    def fits_path(self, operation: ApiOperation) -> bool:
        """Whether one of the paths is the operation's."""
        path = _plain(operation.path)
        return any(pattern.fullmatch(path) for pattern in self._paths)

    def _fits_words(self, operation: ApiOperation) -> bool:
        if not self._phrases:
            return False
        own = frozenset(words(operation.id or _PARAMETER.sub("", operation.written_path)))
        return any(phrase <= own for phrase in self._phrases)


def words(name: str) -> tuple[str, ...]:
    """The words of a name like `createRefund` or `post-refunds`, in lower case and singular."""
    return tuple(stem(word) for word in _WORD.findall(name))


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """A word without its plural, in lower case: enough for `payments` to be `payment`."""
    small = word.lower()
    if small.endswith("ies") and len(small) > 4:
        return small[:-3] + "y"
    if small.endswith("s") and not small.endswith("ss") and len(small) > 3:
        return small[:-1]
    return small


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    """`*` is one segment or a part of it, `**` any number of them; letters have no case."""
    parts = []
    for segment in _plain(pattern).strip("/").split("/"):
        if segment == "**":
            parts.append("(?:/[^/]+)*")
        else:
            parts.append("/" + ".*".join(map(re.escape, segment.split("*"))).replace(".*", "[^/]*"))
    return re.compile("".join(parts) + "/?")


def _plain(path: str) -> str:
    """A path for comparison: what a parameter is called counts for nothing."""
    return _PARAMETER.sub("{}", path).casefold()


def mechanism_names(accepts: Iterable[Sequence[str] | str]) -> str:
    """The accepted mechanisms in words: `key and ledger, or natural-key`."""
    return ", or ".join(part if isinstance(part, str) else " and ".join(part) for part in accepts)
