"""YAML and JSON that others wrote: every dialect their own readers take, with the line of everything that is said.

It is lenient where `governance.documents.yaml` is strict: several documents, anchors, aliases, merge keys and tags are
what real configurations are full of. Size, depth and the number of values looked at are bounded, so that no document
can cost more than a few seconds, whatever its aliases multiply to.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

import yaml

from sidecar.governance.documents.finding import Finding, InvalidDocument, RuleId, dotted, shown

SIZE_CEILING_BYTES: Final = 8 << 20
"""Of one file: the configuration dump of a large Envoy."""
DEPTH_CEILING: Final = 100
VALUES_CEILING: Final = 1_000_000

_LOADER: Final[type[yaml.CSafeLoader | yaml.SafeLoader]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_MERGE: Final = "<<"
_PLACEHOLDER: Final = re.compile(r"\$\{([^${}:]+)(?::([^${}]*))?\}")


def canonical(key: str) -> str:
    """A key without its case and separators: `max_retries`, `maxRetries` and `max-retries` are one.

    Protocol Buffers' JSON form and Spring's relaxed binding both read them alike.
    """
    return key.replace("_", "").replace("-", "").lower()


class _Allowance:
    """Counts the values that are looked at."""

    __slots__ = ("file", "left")

    def __init__(self, file: str) -> None:
        self.file = file
        self.left = VALUES_CEILING

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise InvalidDocument(
                [
                    Finding(
                        self.file,
                        None,
                        "",
                        f"must hold at most {VALUES_CEILING} values, aliases included",
                        rule_id=RuleId.BOUNDS,
                    )
                ]
            )


class ForeignValue:
    """One value of a foreign document, and where it stands.

    `line` is counted from 1 and is that of the key, where the value has one.
    """

    __slots__ = ("_allowance", "_node", "file", "line", "path")

    def __init__(
        self, node: yaml.Node, file: str, line: int, path: tuple[str | int, ...], allowance: _Allowance
    ) -> None:
        self.file = file
        self.line = line
        self.path = path
        self._node = node
        self._allowance = allowance

    @property
    def field(self) -> str:
        """The path as people write it."""
        return dotted(self.path)

    @property
    def name(self) -> str:
        """The last step of the path."""
        return str(self.path[-1]) if self.path else ""

    @property
    def identity(self) -> int:
        """Equal for two places that an alias makes one value."""
        return id(self._node)

    @property
    def is_mapping(self) -> bool:
        """Whether it has keys."""
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_sequence(self) -> bool:
        """Whether it is a list."""
        return isinstance(self._node, yaml.SequenceNode)

    @property
    def is_null(self) -> bool:
        """Whether nothing is said: `null`, or nothing after the key."""
        node = self._node
        return isinstance(node, yaml.ScalarNode) and not node.style and node.value in _NULL

    @property
    def text(self) -> str | None:
        """A scalar as it is written, a Spring placeholder `${NAME:default}` by its default; None for all others."""
        if not isinstance(self._node, yaml.ScalarNode) or self.is_null:
            return None
        return _PLACEHOLDER.sub(lambda match: match[0] if match[2] is None else match[2], str(self._node.value))

    @property
    def placeholder(self) -> str | None:
        """The variable that the value depends on; None where it is written out."""
        match = _PLACEHOLDER.search(str(self._node.value)) if isinstance(self._node, yaml.ScalarNode) else None
        return None if match is None else match[1]

    @property
    def number(self) -> Decimal | None:
        """A number, quoted or not; None for all others."""
        text = self.text
        if text is None or len(text) > 24:
            return None
        try:
            number = Decimal(text)
        except InvalidOperation:
            return None
        return number if number.is_finite() else None

    @property
    def boolean(self) -> bool | None:
        """`true` or `false`, quoted or not; None for all others."""
        return {"true": True, "false": False}.get((self.text or "").lower())

    def entries(self) -> "dict[str, ForeignValue]":
        """The entries of a mapping by their keys as written, those of merge keys included; none for all others."""
        return dict(self._entries(self._node, frozenset()))

    def get(self, *names: str) -> "ForeignValue | None":
        """The entry under the first of `names` that is there and is not null, however the key is spelt."""
        found = {canonical(key): value for key, value in self.entries().items()}
        for name in names:
            value = found.get(canonical(name))
            if value is not None and not value.is_null:
                return value
        return None

    def at(self, *steps: str) -> "ForeignValue | None":
        """The value under `steps`, one below the other; None where there is none."""
        value: ForeignValue | None = self
        for step in steps:
            value = None if value is None else value.get(step)
        return value

    def items(self) -> "list[ForeignValue]":
        """The items of a list; none for all others."""
        if not isinstance(self._node, yaml.SequenceNode):
            return []
        self._allowance.spend(len(self._node.value))
        return [
            ForeignValue(node, self.file, _line(node), (*self.path, index), self._allowance)
            for index, node in enumerate(self._node.value)
        ]

    def shown(self) -> str:
        """The value as a finding shows it."""
        if self.is_mapping:
            return "a mapping"
        return "a list" if self.is_sequence else shown(self.text)

    def _entries(self, node: yaml.Node, above: frozenset[int]) -> "Iterator[tuple[str, ForeignValue]]":
        if not isinstance(node, yaml.MappingNode) or id(node) in above:
            return
        self._allowance.spend(len(node.value))
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == _MERGE:
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for source in merged:
                    yield from self._entries(source, above | {id(node)})
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != _MERGE:
                path = (*self.path, str(key.value))
                yield str(key.value), ForeignValue(value, self.file, _line(key), path, self._allowance)


def read_documents(content: bytes, file: str) -> list[ForeignValue]:
    """The documents of one file. Raises InvalidDocument with the one thing that keeps it from being read."""
    if len(content) > SIZE_CEILING_BYTES:
        raise InvalidDocument([Finding(file, None, "", "must be at most 8MiB", f"{len(content)} bytes", RuleId.BOUNDS)])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidDocument(
            [Finding(file, line, "", "must be UTF-8", f"byte 0x{content[error.start]:02x}", RuleId.SYNTAX)]
        ) from None
    if text.lstrip()[:1] in {"{", "["}:  # JSON may be indented with tabs, which YAML refuses
        text = re.sub(r"^\t+", lambda match: " " * len(match[0]), text, flags=re.MULTILINE)
    try:
        _check_depth(text, file)
        nodes = [node for node in yaml.compose_all(text, Loader=_LOADER) if node is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line_of = None if mark is None else mark.line + 1
        raise InvalidDocument(
            [Finding(file, line_of, "", f"is not YAML: {error.problem or error.context}", rule_id=RuleId.SYNTAX)]
        ) from None
    except yaml.reader.ReaderError as error:
        raise InvalidDocument(
            [
                Finding(
                    file,
                    text.count("\n", 0, error.position) + 1,
                    "",
                    "must hold printable characters only",
                    rule_id=RuleId.SYNTAX,
                )
            ]
        ) from None
    allowance = _Allowance(file)
    return [ForeignValue(node, file, _line(node), (), allowance) for node in nodes]


def wrong(value: ForeignValue, rule: str) -> Finding:
    """That `value` breaks `rule`."""
    return Finding(value.file, value.line, value.field, rule, value.shown(), RuleId.TYPE)


def search(roots: Sequence[ForeignValue], keys: frozenset[str]) -> Iterator[ForeignValue]:
    """Every entry under one of the canonical `keys`, at any depth, each once however many aliases lead to it."""
    seen: set[int] = set()
    waiting = list(reversed(roots))
    while waiting:
        value = waiting.pop()
        if value.identity in seen:
            continue
        seen.add(value.identity)
        entries = list(value.entries().items())
        for key, entry in entries:
            if canonical(key) in keys:
                yield entry
        waiting.extend(entry for _, entry in reversed(entries))
        waiting.extend(reversed(value.items()))


def _check_depth(text: str, file: str) -> None:
    """Refuse what is nested too deeply before it is composed, which recurses."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_CEILING:
                line = event.start_mark.line + 1 if event.start_mark is not None else None
                raise InvalidDocument(
                    [Finding(file, line, "", f"must not be nested deeper than {DEPTH_CEILING}", rule_id=RuleId.BOUNDS)]
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _line(node: yaml.Node) -> int:
    return 1 if node.start_mark is None else node.start_mark.line + 1
