"""The advice about a refusal, by its word: the parts of the page about all of them, docs/refusals.md."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

_SECTION: Final = re.compile(r"^(?=#{1,3} )", re.MULTILINE)
_TABLE: Final = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
_WORD: Final = re.compile(r"`([a-z_]+)`")


def refusal_parts(page: str) -> Mapping[str, str]:
    """The text of each word: the section of that name, and the rows that have it as their reason."""
    parts: dict[str, list[str]] = {}
    for section in _SECTION.split(page):
        title = section.partition("\n")[0].lstrip("# ")
        if re.fullmatch("[a-z_]+", title):
            parts.setdefault(title, []).insert(0, section.strip())
        for table in _TABLE.findall(section):
            for word, row in _rows(table.splitlines()):
                parts.setdefault(word, []).append(f"## {title}\n\n{row}")
    return {word: "\n\n".join(said) + "\n" for word, said in parts.items()}


def _rows(table: list[str]) -> Iterator[tuple[str, str]]:
    """Each word with its row, a cell in a line."""
    names = _cells(table[0])
    if "reason" not in names:
        return
    at = names.index("reason")
    for line in table[2:]:
        cells = _cells(line)
        row = "\n".join(f"{name}: {cell}" for name, cell in zip(names, cells, strict=True))
        for word in _WORD.findall(cells[at]):
            yield word, row


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
