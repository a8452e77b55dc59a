"""Settings of the sidecar file that flags and environment variables give: the same settings, laid over the file.

A flag or variable becomes the entry of the document that it stands for, so that one set of rules judges both, and what
is wrong with it is told under its own name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Final

from msgspec import Struct

from sidecar.governance.documents.finding import Finding, RuleId, shown
from sidecar.governance.documents.yaml import Path, Tree

INGRESS_LISTEN: Final = "0.0.0.0:16006"
"""The ingress listener when only its app is given."""
SERVICE: Final = "service"
"""The name of a service for which neither a file nor anything else gives one."""
NO_FILE: Final = "flags and variables"
"""The name of a document that no file has a part in."""

_PATHS: Final[Mapping[str, Path]] = {
    "service": ("service",),
    "mode": ("mode",),
    "admin": ("admin", "listen"),
    "metrics_listen": ("admin", "metrics_listen"),
    "policy_ca": ("policy", "ca"),
    "policy_cache": ("policy", "cache"),
    "ingress_app": ("ingress", "app"),
    "ingress_listen": ("ingress", "listen"),
    "drain_timeout": ("drain",),
    "minimum_drain": ("minimum_drain",),
}
_POLICY_SOURCES: Final = ("file", "directory", "url")

Entry = tuple[Path, object]


class Given(Struct, frozen=True):
    """The words of one flag or variable. `by` is its name, `--listen` or `SIDECAR_LISTEN`; `setting` what it is for."""

    by: str
    setting: str
    words: tuple[str, ...]


def overlaid(tree: Tree | None, given: Iterable[Given], findings: list[Finding]) -> Tree:
    """The document in `tree` with what is given in its place; without a tree, what is given alone.

    Destinations are merged by name, and an entry that is given replaces the file's. Words that stand for no entry are
    added to `findings`.
    """
    laid = Overlay(tree)
    for each in given:
        for path, value in _entries(each, tree is not None, findings):
            laid.put(path, value, each.by)
    if tree is None and not laid.says(("service",)):
        laid.fill(("service",), SERVICE)
    if laid.says(("ingress", "app")) and not laid.says(("ingress", "listen")):
        laid.fill(("ingress", "listen"), INGRESS_LISTEN)
    return laid.tree()


class Overlay:
    """A document under construction: a file's entries, and others laid over them."""

    def __init__(self, tree: Tree | None) -> None:
        self._file = NO_FILE if tree is None else tree.file
        self._value: object = {} if tree is None else tree.value
        self._lines: dict[Path, int] = {(): 1} if tree is None else dict(tree.lines)
        self._given: dict[Path, str] = {}

    def says(self, path: Path) -> bool:
        """Whether there is an entry at `path`."""
        return path in self._lines

    def put(self, path: Path, value: object, by: str) -> None:
        """Lay `value` over what is at `path`. Where something around it is no mapping, that is left to be judged."""
        if path[0] == "policy" and path[-1] in _POLICY_SOURCES:
            for word in _POLICY_SOURCES:
                self._remove((*path[:-1], word))
        elif path in self._given and isinstance(value, list):
            value = [*self._at(path), *value]
        else:
            self._remove(path)
        for end in range(1, len(path)):
            if path[:end] not in self._lines:
                self._given[path[:end]] = by
        self._given[path] = by
        self.fill(path, value)

    def fill(self, path: Path, value: object) -> None:
        """Set `value` at `path` without a flag's name, unless something around it is no mapping."""
        node = self._value
        for end, step in enumerate(path[:-1], start=1):
            if not isinstance(node, dict):
                return
            node = node.setdefault(step, {})
            self._lines.setdefault(path[:end], 0)
        if isinstance(node, dict):
            node[path[-1]] = value
            self._lines[path] = 0

    def tree(self) -> Tree:
        """The document."""
        return Tree(self._file, self._value, self._lines, self._given)

    def _at(self, path: Path) -> list[object]:
        written = self.tree().at(path)
        assert isinstance(written, list)
        return written

    def _remove(self, path: Path) -> None:
        if path not in self._lines:
            return
        around = self.tree().at(path[:-1])
        assert isinstance(around, dict)
        del around[path[-1]]
        gone = [other for other in self._lines if other[: len(path)] == path]
        for other in gone:
            del self._lines[other]


def _entries(given: Given, beside_a_file: bool, findings: list[Finding]) -> Iterator[Entry]:  # noqa: FBT001 - a private table's
    special = _SPECIAL.get(given.setting)
    if special is not None:
        yield from special(given, beside_a_file, findings)
    else:
        word = given.words[-1]
        path = _PATHS[given.setting]
        yield path, _from_here(word, beside_a_file) if path[-1] in ("ca", "cache") else word


def _upstreams(given: Given, _beside_a_file: bool, findings: list[Finding]) -> Iterator[Entry]:  # noqa: FBT001
    named: dict[str, list[object]] = {}
    for word in given.words:
        name, equals, url = word.partition("=")
        if equals:
            named.setdefault(name, []).append(url)
        else:
            findings.append(Finding(given.by, None, "", "must be name=url", shown(word), rule_id=RuleId.FORM))
    for name, urls in named.items():
        yield ("destinations", name, "endpoints"), urls


def _listen(given: Given, _beside_a_file: bool, _findings: list[Finding]) -> Iterator[Entry]:  # noqa: FBT001
    """`ADDRESS` is shared, `NAME=ADDRESS` one destination's own."""
    shared: list[object] = []
    for word in given.words:
        name, equals, address = word.rpartition("=")
        if equals:
            yield ("destinations", name, "listen"), address
        else:
            shared.append(address)
    if shared:
        yield ("egress", "listen"), shared


def _transparent(given: Given, _beside_a_file: bool, _findings: list[Finding]) -> Iterator[Entry]:  # noqa: FBT001
    yield ("egress", "transparent", "listen"), list(given.words)


def _policy(given: Given, beside_a_file: bool, _findings: list[Finding]) -> Iterator[Entry]:  # noqa: FBT001
    word = given.words[-1]
    if "://" in word:
        yield ("policy", "url"), word
    else:
        yield ("policy", "file"), _from_here(word, beside_a_file)


def _from_here(written: str, beside_a_file: bool) -> str:  # noqa: FBT001
    """A path of a flag is from the working directory; in a document, from the folder of the file."""
    return str(FilePath(written).absolute()) if beside_a_file else written


_SPECIAL: Final[Mapping[str, Callable[[Given, bool, list[Finding]], Iterator[Entry]]]] = {
    "upstreams": _upstreams,
    "listen": _listen,
    "policy": _policy,
    "transparent_listen": _transparent,
}
SETTINGS: Final[Sequence[str]] = (*_PATHS, *_SPECIAL)
"""Everything that can be given."""
