"""Plain values into typed structs, with every finding rather than the first.

msgspec describes the types and would stop at the first error when it converts; here its description is walked instead,
and a value that breaks a rule is left out, so that the rest of the document is judged too.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from enum import Enum
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec
from msgspec import inspect

from sidecar.governance.documents.finding import (
    FINDINGS_CEILING,
    BrokenRule,
    Finding,
    InvalidDocument,
    RuleId,
    shown,
    unknown,
)
from sidecar.governance.documents.yaml import Path, Tree

LIST_CEILING = 1000
"""Keeps the search for items named twice cheap."""

T = TypeVar("T", bound=msgspec.Struct)


class Written(Protocol):
    """A type that reads its own written form. Raises ValueError with the rule that is broken."""

    @classmethod
    def parse(cls, written: object) -> object:
        """Read what was written."""


@lru_cache(maxsize=64)
def _described(cls: type[msgspec.Struct]) -> inspect.StructType:
    """The description of a type, made once: a description of an API has thousands of one type."""
    return cast("inspect.StructType", inspect.type_info(cls))


class Absence(Enum):
    """Stands for a value that broke a rule; the finding says which."""

    INVALID = "invalid"


INVALID: Final = Absence.INVALID


class Decoder:
    """Decodes one tree; findings are added to the list it was given.

    Text types may carry `Meta(extra={"rule": …, "rule_id": …})`: the finding when their pattern does not match. Lists
    are sets in every document: an item named twice is a finding. Raises InvalidDocument at FINDINGS_CEILING findings.
    """

    def __init__(self, tree: Tree, findings: list[Finding]) -> None:
        self.tree = tree
        self._findings = findings

    def document(self, cls: type[T], stand_ins: Mapping[str, object]) -> T | None:
        """The whole tree as a `cls`, or None when it is no mapping.

        `stand_ins` take the place of required fields that are missing or broken, so that the others can be judged;
        there is a finding then, and the struct must not be put in force.
        """
        struct = self._struct(self.tree.value, _described(cls), (), stand_ins)
        return None if struct is INVALID else cast("T", struct)

    def value(self, value: object, info: inspect.Type, path: Path) -> object:
        """`value`, which stands at `path`, as the type `info` describes; INVALID when it breaks a rule."""
        match info:
            case inspect.StructType():
                return self._struct(value, info, path, {})
            case inspect.DictType(key_type=key_type, value_type=value_type):
                return self._dict(value, key_type, value_type, path)
            case inspect.ListType():
                return self._list(value, info, path)
            case inspect.UnionType(types=types):
                return self._either(value, types, path)
            case inspect.CustomType(cls=cls):
                return self._written(value, cast("type[Written]", cls), path)
            case inspect.Metadata(type=inspect.StrType() as text, extra=extra):
                return self._text(value, text, path, extra or {})
            case inspect.Metadata(type=inner):
                return self.value(value, inner, path)
            case inspect.StrType():
                return self._text(value, info, path, {})
            case inspect.BoolType():
                return (
                    value if isinstance(value, bool) else self.broken(path, "must be true or false", value, RuleId.TYPE)
                )
            case inspect.IntType() | inspect.FloatType():
                return self._number(value, info, path)
            case inspect.EnumType(cls=enum):
                word = self._word(value, [member.value for member in enum], path)
                return word if word is INVALID else enum(word)
            case inspect.LiteralType(values=values):
                return self._word(value, values, path)
            case inspect.DateType():
                return self._date(value, path)
            case inspect.AnyType():
                return value
            case _:
                raise TypeError(f"no way to decode {info}")

    def broken(self, path: Path, rule: str, value: object, rule_id: RuleId = RuleId.VALUE) -> Absence:
        """Add the finding that `value`, which stands at `path`, breaks `rule`."""
        return self._find(self.tree.finding(path, rule, shown(value), rule_id=rule_id))

    def lacking(self, path: Path, rule: str, rule_id: RuleId = RuleId.VALUE) -> Absence:
        """Add the finding that something about `path` itself breaks `rule`."""
        return self._find(self.tree.finding(path, rule, rule_id=rule_id))

    def _find(self, finding: Finding) -> Absence:
        self._findings.append(finding)
        if len(self._findings) >= FINDINGS_CEILING:
            raise InvalidDocument(self._findings)
        return INVALID

    def _struct(self, value: object, info: inspect.StructType, path: Path, stand_ins: Mapping[str, object]) -> object:
        if not isinstance(value, dict):
            return self.broken(path, "must be a mapping", value, RuleId.TYPE)
        fields = {field.encode_name: field for field in info.fields}
        given: dict[str, Any] = dict(stand_ins)
        for key, entry in value.items():
            here = (*path, key)
            if key not in fields:
                self.lacking(here, unknown(key, fields), RuleId.UNKNOWN)
                continue
            decoded = self.value(entry, fields[key].type, here)
            if decoded is not INVALID:
                given[key] = decoded
        for name, field in fields.items():
            if field.required and name not in value:
                self.lacking((*path, name), "is required", RuleId.REQUIRED)
        if any(field.required and name not in given for name, field in fields.items()):
            return INVALID
        return info.cls(**{fields[word].name: value for word, value in given.items()})

    def _dict(self, value: object, key_type: inspect.Type, value_type: inspect.Type, path: Path) -> object:
        if not isinstance(value, dict):
            return self.broken(path, "must be a mapping", value, RuleId.TYPE)
        decoded: dict[object, object] = {}
        for key, entry in value.items():
            here = (*path, key)
            name = self.value(key, key_type, here)
            item = self.value(entry, value_type, here)
            if name is not INVALID and item is not INVALID:
                decoded[name] = item
        return decoded

    def _list(self, value: object, info: inspect.ListType, path: Path) -> object:
        if not isinstance(value, list):
            return self.broken(path, "must be a list", value, RuleId.TYPE)
        if len(value) < (info.min_length or 0):
            return self.broken(path, f"must have {info.min_length} or more entries", value, RuleId.BOUNDS)
        if len(value) > LIST_CEILING:
            return self.broken(path, f"must have at most {LIST_CEILING} entries", value, RuleId.BOUNDS)
        decoded: list[object] = []
        for index, entry in enumerate(value):
            item = self.value(entry, info.item_type, (*path, index))
            if item in decoded:
                self.broken((*path, index), "must not be named twice", entry, RuleId.DUPLICATE)
            elif item is not INVALID:
                decoded.append(item)
        return decoded

    def _either(self, value: object, types: Iterable[inspect.Type], path: Path) -> object:
        """A list where one may stand, else the other form: no document needs more of unions."""
        lists = [info for info in types if isinstance(info, inspect.ListType)]
        others = [info for info in types if not isinstance(info, inspect.ListType)]
        if lists and isinstance(value, list):
            return self.value(value, lists[0], path)
        if lists and isinstance(others[0], inspect.LiteralType) and value not in others[0].values:
            return self.broken(path, f"must be {_any_of(others[0].values)} or a list", value, RuleId.CHOICE)
        return self.value(value, others[0], path)

    def _written(self, value: object, cls: type[Written], path: Path) -> object:
        try:
            return cls.parse(value)
        except BrokenRule as error:
            return self.broken(path, str(error), value, error.rule_id)
        except ValueError as error:
            return self.broken(path, str(error), value, RuleId.FORM)

    def _text(self, value: object, info: inspect.StrType, path: Path, extra: Mapping[str, Any]) -> object:
        if not isinstance(value, str):
            return self.broken(path, "must be text", value, RuleId.TYPE)
        least = info.min_length or 0
        if len(value.strip()) < least:
            rule = "must not be empty" if least == 1 else f"must have {least} characters or more"
            return self.broken(path, rule, value, RuleId.BOUNDS)
        if info.pattern is not None and not re.search(info.pattern, value):
            rule = extra.get("rule", f"must match {info.pattern}")
            return self.broken(path, rule, value, extra.get("rule_id", RuleId.FORM))
        return value

    def _number(self, value: object, info: inspect.IntType | inspect.FloatType, path: Path) -> object:
        whole = isinstance(info, inspect.IntType)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            return self.broken(path, "must be a whole number" if whole else "must be a number", value, RuleId.TYPE)
        if info.ge is not None and info.le is not None and not info.ge <= value <= info.le:
            return self.broken(path, f"must be between {info.ge} and {info.le}", value, RuleId.BOUNDS)
        if info.ge is not None and value < info.ge:
            return self.broken(path, f"must be at least {info.ge}", value, RuleId.BOUNDS)
        return value if whole else float(value)

    def _word(self, value: object, words: Iterable[object], path: Path) -> object:
        known = list(words)
        if isinstance(value, bool) or value not in known:
            return self.broken(path, f"must be {_any_of(known)}", value, RuleId.CHOICE)
        return value

    def _date(self, value: object, path: Path) -> object:
        try:
            if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
                return date.fromisoformat(value)
        except ValueError:
            return self.broken(path, "must be a day that exists", value, RuleId.FORM)
        return self.broken(path, "must be a date like 2026-11-24", value, RuleId.FORM)


def _any_of(words: Iterable[object]) -> str:
    *rest, last = [str(word) for word in words]
    return f"{', '.join(rest)} or {last}" if rest else last
