"""One file of an API description: its values, and the line of each mapping, key and item.

YAML is read by the rules of YAML 1.2 that OpenAPI names (true, false, null and numbers are not text; `yes`, dates and
everything else are), from libyaml's events. JSON is read by the standard library; its lines are found when they are
first asked for. A key given twice is refused in both: two readers would see two descriptions.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import yaml

from sidecar.governance.documents.finding import Finding, InvalidDocument, shown

SIZE_CEILING_BYTES: Final = 64 << 20
DEPTH_CEILING: Final = 200

_LOADER: Final[type[yaml.CSafeLoader | yaml.SafeLoader]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS: Final[Mapping[str, object]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_NUMBER: Final = re.compile(r"[-+]?(?:[0-9]{1,300})|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_JSON_TOKEN: Final = re.compile(r'\n|[{}\[\]]|"(?:[^"\\]|\\.)*"(\s*:)?|[^\s"{}\[\],:]+')

_OPEN: Final = frozenset("{[")
_CLOSED: Final = frozenset("}]")
_LINE_END: Final = frozenset("\n")

Lines = Mapping[str, int] | Sequence[int]
"""The lines of a container's parts: by key for a mapping, by index for a list."""


class DescriptionFile:
    """A parsed file. `name` is how findings call it; `value` is made of dict, list, str, int, float, bool and None.

    Lines count from 1. A container is known by its identity, so that a value reached through a reference has its place.
    """

    def __init__(self, name: str, content: bytes) -> None:
        """Raises InvalidDocument when it can not be parsed, with the line."""
        self.name = name
        self.text = _decoded(name, content)
        """The file as it is written."""
        self._lines: dict[int, tuple[int, Lines]] = {}
        self.value: object
        self.is_json = name.endswith(".json")
        if self.is_json or self.text.lstrip()[:1] in {"{", "["}:
            try:
                self.value = _json(name, self.text)
                self.is_json = True
            except InvalidDocument:
                if self.is_json:
                    raise
        if not self.is_json:
            composer = _YamlComposer(name, self.text)
            self.value = composer.document()
            self._lines = composer.lines
        self._located = not self.is_json

    def holds(self, container: object) -> bool:
        """Whether this very mapping or list is part of the file."""
        self._locate()
        return id(container) in self._lines

    def line(self, container: object, key: str | int | None = None) -> int:
        """The line where a container begins, or where its part `key` does, if it has that part."""
        self._locate()
        own, parts = self._lines.get(id(container), (1, ()))
        if isinstance(parts, Mapping):
            return parts.get(key, own) if isinstance(key, str) else own
        return parts[key] if isinstance(key, int) and key < len(parts) else own

    def _locate(self) -> None:
        if not self._located:
            self._lines = _json_lines(self.text, self.value)
            self._located = True


def _decoded(name: str, content: bytes) -> str:
    if len(content) > SIZE_CEILING_BYTES:
        rule = f"must be at most {SIZE_CEILING_BYTES >> 20}MiB"
        raise InvalidDocument([Finding(name, None, "", rule, f"{len(content)} bytes")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidDocument(
            [Finding(name, line, "", "must be UTF-8", f"byte 0x{content[error.start]:02x}")]
        ) from None


def _json(name: str, text: str) -> object:
    twice: list[str] = []

    def mapping(pairs: list[tuple[str, object]]) -> dict[str, object]:
        whole = dict(pairs)
        if len(whole) != len(pairs):
            keys = [key for key, _ in pairs]
            twice.extend(key for key in whole if keys.count(key) > 1)
        return whole

    try:
        value: object = json.loads(text, object_pairs_hook=mapping)
    except json.JSONDecodeError as error:
        raise InvalidDocument([Finding(name, error.lineno, "", f"is not JSON: {error.msg}")]) from None
    except RecursionError:
        raise InvalidDocument([Finding(name, None, "", f"must not be nested deeper than {DEPTH_CEILING}")]) from None
    except ValueError as error:
        raise InvalidDocument([Finding(name, None, "", f"is not JSON: {error}")]) from None
    if twice:
        places = [(line, key) for line, key in _json_keys_twice(text) if key in twice]
        rule = "must not be given twice"
        raise InvalidDocument([Finding(name, line, key, rule) for line, key in places])
    return value


def _json_tokens(text: str) -> Iterator[tuple[int, str, bool]]:
    """Each token that counts, with its line and whether it is a key."""
    line = 1
    for match in _JSON_TOKEN.finditer(text):
        token = match[0]
        if token in _LINE_END:
            line += 1
            continue
        is_key = match[1] is not None
        yield line, token, is_key
        if is_key:
            line += match[1].count("\n")


def _key(token: str) -> str:
    end = token.rindex('"')
    return token[1:end] if "\\" not in token else cast("str", json.loads(token[: end + 1]))


def _json_keys_twice(text: str) -> Iterator[tuple[int, str]]:
    seen: list[set[str]] = []
    for line, token, is_key in _json_tokens(text):
        if token in _OPEN:
            seen.append(set())
        elif token in _CLOSED:
            seen.pop()
        elif is_key:
            key = _key(token)
            if key in seen[-1]:
                yield line, key
            seen[-1].add(key)


def _json_lines(text: str, root: object) -> dict[int, tuple[int, Lines]]:
    """The lines of every container, by identity: the text walked beside the values that were read from it."""
    lines: dict[int, tuple[int, Lines]] = {}
    open_containers: list[tuple[Any, Any]] = []
    key: str | None = None

    def enter(line: int) -> object:
        """The value that begins at `line`; its place is noted in the container around it."""
        if not open_containers:
            return root
        container, parts = open_containers[-1]
        if isinstance(parts, dict):
            return cast("object", container[key])
        parts.append(line)
        return cast("object", container[len(parts) - 1])

    for line, token, is_key in _json_tokens(text):
        if token in _CLOSED:
            open_containers.pop()
            key = None
        elif is_key:
            key = _key(token)
            open_containers[-1][1][key] = line
        else:
            value = enter(line)
            key = None
            if token in _OPEN:
                parts: Any = {} if isinstance(value, dict) else []
                lines[id(value)] = (line, parts)
                open_containers.append((value, parts))
    return lines


class _YamlComposer:
    """Builds values from libyaml's events. Aliases share one value; merge keys (`<<`) are followed, as readers do."""

    def __init__(self, name: str, text: str) -> None:
        self.lines: dict[int, tuple[int, Lines]] = {}
        self._name = name
        self._text = text
        self._anchors: dict[str, object] = {}
        self._open: set[str] = set()
        self._findings: list[Finding] = []
        self._events = self._read()

    def document(self) -> object:
        """The one document of the file. Raises InvalidDocument."""
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise self._failure(1, "must not be empty")
        value = self._value(next(self._events), 0)
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._failure(_line(event), "must hold one document, not several")
        if self._findings:
            raise InvalidDocument(self._findings)
        return value

    def _read(self) -> Iterator[Any]:
        try:
            loader = _LOADER(self._text)
            try:
                while True:
                    event = loader.get_event()
                    yield event
                    if isinstance(event, yaml.StreamEndEvent):
                        return
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            raise self._failure(
                1 if mark is None else mark.line + 1, f"is not YAML: {error.problem or error.context}"
            ) from None
        except yaml.reader.ReaderError as error:
            line = self._text.count("\n", 0, error.position) + 1
            raise self._failure(line, "must hold printable characters only") from None

    def _value(self, event: Any, depth: int) -> object:
        if isinstance(event, yaml.ScalarEvent):
            value: object = event.value if event.style else _plain(event.value)
            if event.tag in {"tag:yaml.org,2002:str", "!"}:
                value = event.value
            if event.anchor is not None:
                self._anchors[event.anchor] = value
            return value
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self._open:
                raise self._failure(_line(event), "must not be an alias of what it stands in", f"*{event.anchor}")
            if event.anchor not in self._anchors:
                raise self._failure(_line(event), "must be an alias of an anchor before it", f"*{event.anchor}")
            return self._anchors[event.anchor]
        if depth > DEPTH_CEILING:
            raise self._failure(_line(event), f"must not be nested deeper than {DEPTH_CEILING}")
        if event.anchor is not None:
            self._open.add(event.anchor)
        built = self._mapping(event, depth) if isinstance(event, yaml.MappingStartEvent) else self._list(event, depth)
        if event.anchor is not None:
            self._open.discard(event.anchor)
            self._anchors[event.anchor] = built
        return built

    def _mapping(self, start: Any, depth: int) -> dict[str, object]:
        mapping: dict[str, object] = {}
        parts: dict[str, int] = {}
        self.lines[id(mapping)] = (_line(start), parts)
        merged: list[Any] = []
        following = self._events
        while not isinstance(event := next(following), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._failure(_line(event), "must have text for its keys, not a mapping, list or alias")
            key: str = event.value
            line = _line(event)
            value = self._value(next(following), depth + 1)
            if key == "<<" and not event.style:
                merged += value if isinstance(value, list) else [value]
            elif key in parts:
                rule = f"must not be given twice; line {parts[key]} has it already"
                self._findings.append(Finding(self._name, line, key, rule))
            else:
                mapping[key] = value
                parts[key] = line
        for source in merged:
            if not isinstance(source, dict):
                raise self._failure(_line(start), "must merge mappings only", shown(source))
            lines: Any = self.lines[id(source)][1]
            for key, value in source.items():
                if key not in mapping:
                    mapping[key] = value
                    parts[key] = lines[key]
        return mapping

    def _list(self, start: Any, depth: int) -> list[object]:
        items: list[object] = []
        parts: list[int] = []
        self.lines[id(items)] = (_line(start), parts)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            parts.append(event.start_mark.line + 1)
            items.append(self._value(event, depth + 1))
        return items

    def _failure(self, line: int, rule: str, value: str | None = None) -> InvalidDocument:
        return InvalidDocument([*self._findings, Finding(self._name, line, "", rule, value)])


def _line(event: Any) -> int:
    return 1 if event.start_mark is None else int(event.start_mark.line) + 1


def _plain(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if text[:1] in "+-.0123456789" and _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    return text
