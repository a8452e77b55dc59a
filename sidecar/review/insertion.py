"""Additions to a YAML or JSON text: a key into a mapping, an item into a list, another value; everything else stays.

Marks of libyaml say where each part is. A block collection gets lines of its own. A flow collection, and so JSON,
gets its part behind the last one, on a line of its own where the others have one. No comment is moved or lost.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from sidecar.review.source import DescriptionFile

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Plain = str | bool | int | dict[str, "Plain"] | list["Plain"]
"""The values that can be added."""


class NotEditable(Exception):
    """A text that can not be added to safely; it says why."""


@dataclass
class Insertions:
    """Edits of one file, applied together by `text`."""

    file: DescriptionFile
    _edits: list[tuple[int, int, str]] = field(default_factory=list)
    _root: Any = None

    def __post_init__(self) -> None:
        try:
            self._root = yaml.compose(self.file.text, Loader=_LOADER)
        except yaml.YAMLError as error:
            raise NotEditable(f"{self.file.name} can not be edited: {error}") from None
        self._end = "\r\n" if "\r\n" in self.file.text else "\n"

    def text(self) -> str:
        """The file with every edit."""
        text = self.file.text
        numbered = sorted(enumerate(self._edits), key=lambda edit: (edit[1][0], edit[0]), reverse=True)
        for _, (start, end, new) in numbered:  # from the back; of two at one place the first stays in front
            text = text[:start] + new + text[end:]
        return text

    def add_key(self, mapping: object, key: str, value: Plain, after: str | None = None) -> None:
        """Add `key` to a mapping of the file: behind `after` where it has that key, else at its end."""
        node = self._node(mapping)
        pairs = node.value
        behind = next((pair for pair in pairs if pair[0].value == after), pairs[-1] if pairs else None)
        quote = self._quote(pairs[0][0]) if pairs else ('"' if self.file.is_json else "")
        name = f"{quote}{key}{quote}"
        if node.flow_style or behind is None:
            written = f"{name}: {self._flow(value)}"
            self._into_flow(node, behind[1] if behind else None, written, behind[0].start_mark if behind else None)
        else:
            indent = node.start_mark.column
            self._new_lines(_last_line(behind[1], behind[0]), self._block_pair(name, value, indent))

    def add_item(self, items: object, value: dict[str, Plain]) -> None:
        """Add an item to the end of a list of the file."""
        node = self._node(items)
        last = node.value[-1] if node.value else None
        if node.flow_style or last is None:
            self._into_flow(node, last, self._flow(value), last.start_mark if last else None)
        else:
            indent = node.start_mark.column
            pairs = [line for key, part in value.items() for line in self._block_pair(key, part, indent + 2)]
            self._new_lines(_last_line(last, last), [" " * indent + "- " + pairs[0].lstrip(), *pairs[1:]])

    def replace(self, mapping: object, key: str, value: Plain) -> None:
        """Put another value in the place of a scalar."""
        node = next(part for name, part in self._node(mapping).value if name.value == key)
        if not isinstance(node, yaml.ScalarNode):
            raise NotEditable(f"{self.file.name}:{node.start_mark.line + 1}: {key} is no plain value")
        self._edits.append((node.start_mark.index, node.end_mark.index, self._flow(value)))

    def replace_item(self, items: object, index: int, value: Plain) -> None:
        """Put another item in the place of one."""
        node = self._node(items).value[index]
        end = _end_of(node)
        self._edits.append((node.start_mark.index, end, self._flow(value)))

    def _node(self, container: object) -> Any:
        heap = [(self.file.value, self._root)]
        seen: set[int] = set()
        while heap:
            value, node = heap.pop()
            if value is container:
                return node
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, dict):
                heap += [(value[name.value], part) for name, part in node.value if name.value in value]
            elif isinstance(value, list):
                heap += list(zip(value, node.value, strict=True))
        raise NotEditable(f"{self.file.name} does not hold what would have to be changed: it is merged from elsewhere")

    def _new_lines(self, behind: int, lines: Sequence[str]) -> None:
        """Insert lines behind the line with that number, counted from 0."""
        starts = _line_starts(self.file.text)
        at = starts[behind + 1] if behind + 1 < len(starts) else len(self.file.text)
        text = "".join(line + self._end for line in lines)
        if at == len(self.file.text) and not self.file.text.endswith("\n"):
            text = self._end + text[: -len(self._end)]
        self._edits.append((at, at, text))

    def _into_flow(self, node: Any, last: Any, written: str, last_start: Any) -> None:
        if last is None:
            at = node.start_mark.index + 1
            if not node.flow_style:
                raise NotEditable(f"{self.file.name}:{node.start_mark.line + 1}: is empty, and can not be added to")
            self._edits.append((at, at, written))
            return
        at = _end_of(last)
        own_lines = last_start.line != node.start_mark.line
        between = self._end + " " * last_start.column if own_lines else " "
        self._edits.append((at, at, f",{between}{written}"))

    def _block_pair(self, name: str, value: Plain, indent: int) -> list[str]:
        """`name: value` as lines; lists of mappings and mappings of mappings get lines of their own."""
        if isinstance(value, list):
            lines = [f"{' ' * indent}{name}:"]
            for item in value:
                assert isinstance(item, dict)
                pairs = [line for key, part in item.items() for line in self._block_pair(key, part, indent + 4)]
                lines += [" " * (indent + 2) + "- " + pairs[0].lstrip(), *pairs[1:]]
            return lines
        if isinstance(value, dict) and any(isinstance(part, dict) for part in value.values()):
            inner = [line for key, part in value.items() for line in self._block_pair(key, part, indent + 2)]
            return [f"{' ' * indent}{name}:", *inner]
        return [f"{' ' * indent}{name}: {self._flow(value)}"]

    def _flow(self, value: Plain) -> str:
        if self.file.is_json:
            return json.dumps(value)
        if isinstance(value, dict):
            return "{" + ", ".join(f"{_key(key)}: {self._flow(part)}" for key, part in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(self._flow(part) for part in value) + "]"
        return _scalar(value)

    def _quote(self, key: Any) -> str:
        return key.style if key.style in {"'", '"'} else ""


def _scalar(value: object) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    plain = value.replace("-", "").replace("_", "").replace(" ", "")
    return value if plain.isalnum() and not plain.isdigit() and not value.startswith("-") else json.dumps(value)


def _key(key: str) -> str:
    return json.dumps(key) if key.isdigit() else key


def _end_of(node: Any) -> int:
    """The offset of a node's end, without the white space and comments behind a block collection."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end_of(last[1] if isinstance(last, tuple) else last)


def _last_line(node: Any, key: Any) -> int:
    """The number, from 0, of the last line of a node. An empty value ends where its key does."""
    if isinstance(node, yaml.ScalarNode):
        if node.style in {"|", ">"}:
            return int(node.end_mark.line) - (1 if node.end_mark.column == 0 else 0)
        return (
            max(int(node.end_mark.line), int(key.end_mark.line)) if node.value or node.style else int(key.end_mark.line)
        )
    if node.flow_style or not node.value:
        return int(node.end_mark.line)
    last = node.value[-1]
    return _last_line(last[1], last[0]) if isinstance(last, tuple) else _last_line(last, last)


def _line_starts(text: str) -> list[int]:
    starts = [0]
    position = text.find("\n")
    while position >= 0:
        starts.append(position + 1)
        position = text.find("\n", position + 1)
    return starts
