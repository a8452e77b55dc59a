"""Changes of a manifest's text, YAML or JSON, that leave every other character of it as it is.

Marks of libyaml say where each part is. A block collection gets lines of its own, a flow collection (and so JSON) gets
its part beside the others. What was added is found and taken out again by the same marks, so that taking it out gives
the text from before. Each change is checked: the new text must read as the object with the change made.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

import yaml

from sidecar.inject.patch import (
    AddItem,
    NoSuchPath,
    Operation,
    Path,
    Plain,
    RemoveItem,
    RemoveKey,
    Replace,
    SetKey,
    Step,
    applied,
)

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_TEXT: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
"""Text that no reader of YAML takes for anything else, apart from the words below."""
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


VALUES_CEILING: Final = 1_000_000
"""Scalars, lists and mappings of one document."""


class NotRewritable(Exception):
    """A text that can not be changed there. `line` counts from 1; the message is the rule."""

    def __init__(self, line: int, rule: str) -> None:
        super().__init__(rule)
        self.line = line


def read(text: str) -> Plain:
    """The value of a document, aliases written out. Raises yaml.YAMLError, and ValueError for one that is too big.

    A few aliases of aliases can stand for more than any machine holds.
    """
    left = [VALUES_CEILING]
    return _written_out(yaml.load(text, Loader=_LOADER), left)  # noqa: S506 - a safe loader, in C where there is one


def _written_out(value: Plain, left: list[int]) -> Plain:
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"is more than {VALUES_CEILING} values with its aliases written out")
    if isinstance(value, dict):
        return {key: _written_out(part, left) for key, part in value.items()}
    if isinstance(value, list):
        return [_written_out(part, left) for part in value]
    return value


def edited(text: str, operations: Iterable[Operation]) -> str:
    """The text of one document with the changes made. Raises NotRewritable and NoSuchPath."""
    value = read(text)
    for operation in operations:
        expected = applied(value, [operation])
        edit = _Edit(text)
        changed = edit.make(operation)
        if _same(changed, expected):
            text, value = changed, expected
        else:
            raise NotRewritable(edit.line_of(operation.at), "can not be changed without changing something else")
    return text


def line_of(text: str, path: Path) -> int:
    """The line, counted from 1, of what is at a path in a document, or of the nearest thing around it."""
    return _Edit(text).line_of(path)


def text_of(text: str, path: Path, other: Plain) -> str | None:
    """The text of the scalar at a path, where it is not had again by replacing `other` in its place."""
    edit = _Edit(text)
    node = edit.node(path)
    if not isinstance(node, yaml.ScalarNode):
        return None
    written = text[node.start_mark.index : edit.end(node)]
    between = _scalar(other, node.style)[:1]
    again = _scalar(read(written) if written else None, between if between in ("'", '"') else "")
    return None if written == again else written


def _same(text: str, expected: Plain) -> bool:
    try:
        return bool(read(text) == expected)
    except yaml.YAMLError:
        return False


class _Edit:
    """One change of a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._root: Any = yaml.compose(text, Loader=_LOADER)
        self._end = "\r\n" if "\r\n" in text else "\n"

    def make(self, operation: Operation) -> str:
        """The text with the change made."""
        match operation:
            case SetKey(at, key, value):
                return self._set_key(self.node(at), key, value)
            case RemoveKey(at, key):
                return self._remove_key(self.node(at), key)
            case AddItem(at, value, first):
                return self._add_item(at, value, first=first)
            case RemoveItem(at, name):
                return self._remove_item(self.node(at), name)
            case Replace(at, value, text):
                return self._replace(self.node(at), value, text)

    def line_of(self, path: Path) -> int:
        """The line of what is at a path, or around it."""
        node, line = self._root, self._root.start_mark.line if self._root is not None else 0
        for step in path:
            try:
                key, node = self._child(node, step)
            except (NoSuchPath, NotRewritable):
                break
            line = (node if key is None else key).start_mark.line
        return line + 1

    def node(self, path: Path) -> Any:
        """The node at a path. Raises NoSuchPath, and NotRewritable where it is written elsewhere."""
        node = self._root
        for step in path:
            parent = node
            key, node = self._child(parent, step)
            around = parent.start_mark if key is None else key.end_mark
            if node.start_mark.index < around.index:  # an alias has the node of its anchor
                raise NotRewritable(around.line + 1, f"has an alias for {step}: write it out")
        return node

    def _child(self, node: Any, step: Step) -> tuple[Any, Any]:
        """The key, None for an item, and the value."""
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == step:
                    return key, value
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
                raise NotRewritable(node.start_mark.line + 1, f"may have {step} by a merge key: write it out")
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                if index == step or (isinstance(step, str) and _name_of(item) == step):
                    return None, item
        raise NoSuchPath(step)

    # Mappings

    def _set_key(self, node: Any, key: str, value: Plain) -> str:
        if node.flow_style or not node.value:
            return self._into_flow(node, f"{json.dumps(key)}: {_flow(value)}", first=False)
        indent = node.start_mark.column
        return self._lines_at(self._after(self._pair_end(node.value[-1])), _block_pair(key, value, indent))

    def _remove_key(self, node: Any, key: str) -> str:
        pairs = node.value
        index = next((index for index, pair in enumerate(pairs) if pair[0].value == key), None)
        if index is None:
            raise NoSuchPath(key)
        if node.flow_style:
            spans = [(pair[0].start_mark.index, self._pair_end(pair)) for pair in pairs]
            return self._out_of_flow(spans, index)
        return self._without_lines(pairs[index][0].start_mark.index, self._pair_end(pairs[index]))

    def _pair_end(self, pair: tuple[Any, Any]) -> int:
        key, value = pair
        if value.start_mark.index < key.end_mark.index:  # an alias: its node stands where the anchor is
            line_end = self._text.find("\n", key.end_mark.index)
            return line_end if line_end >= 0 else len(self._text)
        return self.end(value)

    # Lists

    def _add_item(self, at: Path, value: Plain, *, first: bool) -> str:
        node = self.node(at)
        if node.flow_style or not node.value:
            return self._into_flow(node, _flow(value), first=first)
        lines = _block_item(value, node.start_mark.column)
        if not first:
            return self._lines_at(self._after(self.end(node.value[-1])), lines)
        key, _ = self._child(self.node(at[:-1]), at[-1])
        return self._lines_at(self._after(key.end_mark.index), lines)

    def _remove_item(self, node: Any, name: str) -> str:
        index = next((index for index, item in enumerate(node.value) if _name_of(item) == name), None)
        if index is None:
            raise NoSuchPath(name)
        if node.flow_style:
            spans = [(item.start_mark.index, self.end(item)) for item in node.value]
            return self._out_of_flow(spans, index)
        return self._without_lines(node.value[index].start_mark.index, self.end(node.value[index]))

    # Scalars

    def _replace(self, node: Any, value: Plain, text: str | None) -> str:
        start, end = node.start_mark.index, self.end(node)
        if text is None:
            text = _scalar(value, node.style if isinstance(node, yaml.ScalarNode) else None)
        if start == end:
            text = f" {text}"
        elif not text and self._text[start - 1 : start] == " ":
            start -= 1
        return self._text[:start] + text + self._text[end:]

    # Places

    def end(self, node: Any) -> int:
        """The offset of the node's end, without the blanks and comments behind it."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return self._pair_end(last) if isinstance(node, yaml.MappingNode) else self.end(last)
        end: int = node.end_mark.index
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            header = self._text[node.start_mark.index : self._text.find("\n", node.start_mark.index)]
            kept = self._text[node.start_mark.index : end]
            return end if "+" in header else node.start_mark.index + len(kept.rstrip())
        return end

    def _after(self, end: int) -> int:
        """The start of the line that follows, or the end of the text."""
        if self._text[end - 1 : end] == "\n":
            return end
        line_end = self._text.find("\n", end)
        return len(self._text) if line_end < 0 else line_end + 1

    def _lines_at(self, at: int, lines: list[str]) -> str:
        new = "".join(line + self._end for line in lines)
        if at == len(self._text) and not self._text.endswith("\n"):
            new = self._end + new[: -len(self._end)]
        return self._text[:at] + new + self._text[at:]

    def _without_lines(self, start: int, end: int) -> str:
        line_start = self._text.rfind("\n", 0, start) + 1
        after = self._after(end)
        if after == len(self._text) and not self._text.endswith("\n") and line_start > 0:
            line_start -= len(self._end)
        return self._text[:line_start] + self._text[after:]

    def _into_flow(self, node: Any, written: str, *, first: bool) -> str:
        if not node.value:
            at = node.start_mark.index + 1
            return self._text[:at] + written + self._text[at:]
        ends = node.value[0] if first else node.value[-1]
        if first:
            at = (ends[0] if isinstance(ends, tuple) else ends).start_mark.index
            return self._text[:at] + written + ", " + self._text[at:]
        at = self._pair_end(ends) if isinstance(ends, tuple) else self.end(ends)
        return self._text[:at] + ", " + written + self._text[at:]

    def _out_of_flow(self, spans: list[tuple[int, int]], index: int) -> str:
        start, end = spans[index]
        if index > 0:
            start = spans[index - 1][1]
        elif len(spans) > 1:
            end = spans[1][0]
        return self._text[:start] + self._text[end:]


def _name_of(node: Any) -> str | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "name" and isinstance(value, yaml.ScalarNode):
                return str(value.value)
    return None


def _scalar(value: Plain, style: str | None) -> str:
    """A scalar in the style of the one that it replaces, as far as that is safe."""
    if isinstance(value, str) and style == "'" and "'" not in value and "\n" not in value:
        return f"'{value}'"
    if isinstance(value, str) and not style and _bare(value):
        return value
    if value is None:
        return ""
    return _flow(value)


_URL: Final = re.compile(r"https?://[A-Za-z0-9._~:/?&=%+-]*[A-Za-z0-9/]")


def _bare(text: str) -> bool:
    return (_PLAIN_TEXT.fullmatch(text) is not None and text.lower() not in _WORDS) or _URL.fullmatch(text) is not None


def _flow(value: Plain) -> str:
    return json.dumps(value, ensure_ascii=False)


def _block_item(value: Plain, indent: int) -> list[str]:
    lines = _block(value, indent + 2)
    return [" " * indent + "- " + lines[0].lstrip(), *lines[1:]]


def _block_pair(key: str, value: Plain, indent: int) -> list[str]:
    name = " " * indent + (key if _PLAIN_TEXT.fullmatch(key) and key.lower() not in _WORDS else json.dumps(key))
    if isinstance(value, dict) and value:
        return [f"{name}:", *_block(value, indent + 2)]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [f"{name}:", *(line for item in value for line in _block_item(item, indent + 2))]
    return [f"{name}: {_leaf(value)}"]


def _block(value: Plain, indent: int) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key, part in value.items() for line in _block_pair(key, part, indent)]
    return [" " * indent + _leaf(value)]


def _leaf(value: Plain) -> str:
    if isinstance(value, str) and _bare(value):
        return value
    if isinstance(value, str) and '"' in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    return _flow(value)
