"""Strict YAML: the part of it that every reader understands alike, with the line of everything that is said.

Laws: no value means two things (no `yes`, no octal, no sexagesimal numbers, no aliases, no tags), no key is said twice,
and no document of 1 MiB or less can cost more than its own size in time and memory.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, cast

import yaml
from msgspec import Struct, field

from sidecar.governance.documents.finding import FINDINGS_CEILING, Finding, InvalidDocument, RuleId, dotted, shown

Path = tuple[str | int, ...]
"""The place of a value: keys of mappings and indices of lists, from the root, which is ()."""

SIZE_CEILING_BYTES = 1 << 20
DEPTH_CEILING = 24
NUMBER_CHARACTERS_CEILING = 24

_LOADER: type[yaml.CSafeLoader | yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_YAML_1_1_BOOLEANS = frozenset({"yes", "no", "on", "off"})
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)?\.[0-9]+|[-+]?(?:0|[1-9][0-9]*)\.")

_TRAPS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[-+]?0[0-9_]+"), "must be quoted or lose its leading 0, which some readers take for octal"),
    (re.compile(r"[-+]?0[xXbBoO][0-9a-fA-F_]+"), "must be quoted or a plain decimal number"),
    (re.compile(r"[-+]?[0-9]+_[0-9_]*(?:\.[0-9_]*)?"), "must be quoted or a number without underscores"),
    (
        re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"),
        "must be quoted: some readers take it for a number in base 60",
    ),
    (
        re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+"),
        "must be quoted or a number without an exponent",
    ),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), "must be a finite number"),
)


class Tree(Struct, frozen=True):
    """One document as plain values (dict, list, str, int, float, bool, None), and the line of each, counted from 1.

    An entry of a mapping stands at the line of its key, an item of a list where it begins. Dates are text.
    """

    file: str
    value: object
    lines: Mapping[Path, int]
    given: Mapping[Path, str] = field(default_factory=dict)
    """The values that flags and variables give instead of the file, each by its name; in `lines` it has line 0."""

    def given_by(self, path: Path) -> str | None:
        """The flag or variable that says what is at `path`, or the nearest thing around it; None where none does."""
        while path and path not in self.given:
            if path in self.lines:
                return None
            path = path[:-1]
        return self.given.get(path)

    def place(self, path: Path) -> tuple[str, int | None]:
        """The file and the line of what is at `path`; or the flag or variable that says it, and None."""
        by = self.given_by(path)
        return (self.file, self.line(path) or None) if by is None else (by, None)

    def finding(
        self,
        path: Path,
        rule: str,
        value: str | None = None,
        *,
        item: Path | None = None,
        rule_id: RuleId = RuleId.VALUE,
    ) -> Finding:
        """The finding that what is at `path` breaks `rule`; `item` is the part of it that does, if not all of it."""
        file, line = self.place(path if item is None else item)
        return Finding(file, line, dotted(path), rule, value, rule_id)

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest thing around it that was written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def at(self, path: Path) -> object:
        """The value at `path`. `path` must be one of `lines`."""
        value: Any = self.value
        for step in path:
            value = value[step]
        return cast("object", value)


def parse(content: bytes, file: str) -> Tree:
    """Read one document. `file` is its name in findings. Raises InvalidDocument with everything that is wrong."""
    if len(content) > SIZE_CEILING_BYTES:
        raise InvalidDocument([Finding(file, None, "", "must be at most 1MiB", f"{len(content)} bytes", RuleId.SYNTAX)])
    text = _decoded(content, file)
    tabs = [
        Finding(file, number, "", "must be indented with spaces, not tabs", rule_id=RuleId.SYNTAX)
        for number, line in enumerate(text.splitlines(), start=1)
        if "\t" in line[: len(line) - len(line.lstrip())]
    ]
    if tabs:
        raise InvalidDocument(tabs[:FINDINGS_CEILING])
    composer = _Composer(text, file)
    tree = composer.document()
    if composer.findings:
        raise InvalidDocument(composer.findings)
    return tree


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidDocument(
            [Finding(file, line, "", "must be UTF-8", f"byte 0x{content[error.start]:02x}", RuleId.SYNTAX)]
        ) from None


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


class _Composer:
    """Builds values from parser events, so that depth, aliases and duplicates are seen before they cost anything."""

    def __init__(self, text: str, file: str) -> None:
        self.findings: list[Finding] = []
        self._text = text
        self._file = file
        self._lines: dict[Path, int] = {}
        self._events = self._read()

    def document(self) -> Tree:
        """The one document of the stream."""
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            self._fail(None, (), "must not be empty", RuleId.BOUNDS)
        event = next(self._events)
        self._lines[()] = _line(event)
        value = self._value(event, (), _line(event))
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._fail(_line(event), (), "must hold one document, not several")
        return Tree(self._file, value, self._lines)

    def _read(self) -> Iterator[yaml.Event]:
        try:
            loader = _LOADER(self._text)
            try:
                while True:
                    event = cast("yaml.Event", loader.get_event())
                    yield event
                    if isinstance(event, yaml.StreamEndEvent):
                        return
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._fail(None if mark is None else mark.line + 1, (), f"is not YAML: {error.problem or error.context}")
        except yaml.reader.ReaderError:
            where = next((i for i, c in enumerate(self._text) if yaml.reader.Reader.NON_PRINTABLE.match(c)), 0)
            line = self._text.count("\n", 0, where) + 1
            self._find(line, (), "must hold printable characters only", shown(self._text[where]))
            raise InvalidDocument(self.findings) from None

    def _value(self, event: yaml.Event, path: Path, line: int) -> object:
        if isinstance(event, yaml.AliasEvent):
            self._find(_line(event), path, "must be written out: aliases are refused", f"*{event.anchor}")
            return None
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._find(_line(event), path, "must not be an anchor", f"&{event.anchor}")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._find(_line(event), path, "must not carry a tag", str(tag))
        if len(path) > DEPTH_CEILING:
            self._fail(line, path[:DEPTH_CEILING], f"must not be nested deeper than {DEPTH_CEILING}")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        raise AssertionError(event)

    def _mapping(self, path: Path) -> dict[str, object]:
        mapping: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = _line(event)
            key = self._key(event, path, line)
            entry = (*path, key)
            if key in mapping:
                self._find(
                    line,
                    entry,
                    f"must not be given twice; line {self._lines[entry]} has it already",
                    None,
                    RuleId.DUPLICATE,
                )
            else:
                self._lines[entry] = line
            value = self._value(next(self._events), entry, line)
            mapping.setdefault(key, value)
        return mapping

    def _key(self, event: yaml.Event, path: Path, line: int) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            self._fail(line, path, "must have text for its keys, not a mapping, list or alias")
        if event.anchor is not None or event.tag is not None:
            self._find(line, (*path, event.value), "must be a plain key, without anchor or tag", None)
        if not event.style:
            before = len(self.findings)
            resolved = self._plain(event.value, (*path, event.value), line)
            if len(self.findings) == before and not isinstance(resolved, str):
                self._find(line, path, "must have text for its keys; quote it", event.value or "null")
            if event.value == "<<":
                self._find(line, path, "must be written out: merge keys are refused", "<<")
        return event.value

    def _sequence(self, path: Path) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item = (*path, len(items))
            self._lines[item] = _line(event)
            items.append(self._value(event, item, self._lines[item]))
        return items

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> object:
        if event.style:
            return event.value
        return self._plain(event.value, path, _line(event))

    def _plain(self, text: str, path: Path, line: int) -> object:
        if text in _NULL:
            return None
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if text.lower() in _YAML_1_1_BOOLEANS:
            self._find(line, path, "must be true or false, or quoted: some readers take it for a boolean", text)
            return text
        if _INTEGER.fullmatch(text) or _DECIMAL.fullmatch(text):
            if len(text) > NUMBER_CHARACTERS_CEILING:
                rule = f"must be a number of at most {NUMBER_CHARACTERS_CEILING} characters"
                self._find(line, path, rule, text, RuleId.VALUE)
                return 0
            return float(text) if "." in text else int(text)
        for trap, rule in _TRAPS:
            if trap.fullmatch(text):
                self._find(line, path, rule, text)
                break
        return text

    def _find(
        self, line: int | None, path: Path, rule: str, value: str | None, rule_id: RuleId = RuleId.SYNTAX
    ) -> None:
        cut = value if value is None or len(value) <= NUMBER_CHARACTERS_CEILING else shown(value)
        self.findings.append(Finding(self._file, line, dotted(path), rule, cut, rule_id))
        if len(self.findings) >= FINDINGS_CEILING:
            raise InvalidDocument(self.findings)

    def _fail(self, line: int | None, path: Path, rule: str, rule_id: RuleId = RuleId.SYNTAX) -> NoReturn:
        raise InvalidDocument([*self.findings, Finding(self._file, line, dotted(path), rule, rule_id=rule_id)])
