"""CODEOWNERS: the owners of files, as GitHub and GitLab read it: patterns of .gitignore, the last match."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

PLACES: Final = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
"""The places of the file below the root of the repository, in the order in which they are looked at."""

_SECTION: Final = re.compile(r"\^?\[[^\]]+\](\[[0-9]+\])?")


@dataclass(frozen=True, slots=True)
class CodeOwners:
    """The owners of the files of one repository. `file` is how findings call the document."""

    file: str
    entries: Sequence[tuple[re.Pattern[str], tuple[str, ...]]]

    def of(self, path: str) -> tuple[str, ...]:
        """The owners of a file, given by its path from the root with `/`; empty where it has none."""
        for pattern, owners in reversed(self.entries):
            if pattern.match(path):
                return owners
        return ()


def code_owners(text: str, file: str) -> CodeOwners:
    """Read a CODEOWNERS document. Lines that are none are passed over, as its readers do."""
    entries = []
    section: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.split("#", 1)[0].split() if not line.lstrip().startswith("\\#") else line.split()
        if not words:
            continue
        heading = _SECTION.match(line.strip())
        if heading is not None:
            section = tuple(line.strip()[heading.end() :].split())
            continue
        entries.append((_pattern(words[0]), tuple(words[1:]) or section))
    return CodeOwners(file, entries)


def may_sign(person: str, owners: Sequence[str], teams: Mapping[str, Sequence[str]]) -> bool:
    """Whether a person is one of the owners, or a member of a team that is."""
    wanted = _name(person)
    for owner in owners:
        if _name(owner) == wanted:
            return True
        for team, members in teams.items():
            if _name(team) == _name(owner) and any(_name(member) == wanted for member in members):
                return True
    return False


def _name(written: str) -> str:
    return written.strip().lstrip("@").casefold()


def _pattern(written: str) -> re.Pattern[str]:
    """A pattern of .gitignore without negation, as a regular expression over a path from the root."""
    anchored = "/" in written.rstrip("/")
    folder = written.endswith("/")
    parts = []
    body = written.strip("/")
    position = 0
    while position < len(body):
        if body.startswith("**/", position):
            parts.append("(?:[^/]+/)*")
            position += 3
        elif body.startswith("**", position):
            parts.append(".*")
            position += 2
        elif body[position] == "*":
            parts.append("[^/]*")
            position += 1
        elif body[position] == "?":
            parts.append("[^/]")
            position += 1
        else:
            parts.append(re.escape(body[position]))
            position += 1
    start = "" if anchored or written == "*" else "(?:.*/)?"
    if written in {"*", "/**", "**"}:
        return re.compile(".*")
    last = written.rstrip("/").rsplit("/", 1)[-1]
    below = "/.*" if folder else "$" if "*" in last and last != "**" else "(?:/.*)?$"
    return re.compile(start + "".join(parts) + below)
