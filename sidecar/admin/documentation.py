"""The pages of docs/ that a sidecar serves beside its page, so that no wiki is needed: runbooks and refusals, as text.

In a checkout they are under docs/; `force-include` in pyproject.toml puts them beside this file in the wheel.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from sidecar.admin.refusals import refusal_parts

_IN_WHEEL: Final = Path(__file__).parent / "docs"
_IN_CHECKOUT: Final = Path(__file__).parents[2] / "docs"
DOCUMENTATION: Final = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT
"""The folder that has `runbooks/`, `refusals/` and `refusals.md`."""


class Documentation:
    """Reads the pages of a folder when the first of them is asked for. Raises OSError then where they are not there."""

    def __init__(self, folder: Path = DOCUMENTATION) -> None:
        self._folder = folder

    def runbook(self, alert: str) -> str | None:
        """The runbook of an alert; `README` lists them."""
        return self._runbooks.get(alert)

    def refusal(self, word: str) -> str | None:
        """The page about a word of refusal; of one that has none, its parts of the page about all."""
        return self._refusal_pages.get(word) or self._refusal_parts.get(word)

    @cached_property
    def refusals(self) -> str:
        """The page about all words."""
        return (self._folder / "refusals.md").read_text(encoding="utf-8")

    @cached_property
    def _runbooks(self) -> Mapping[str, str]:
        return _pages(self._folder / "runbooks")

    @cached_property
    def _refusal_pages(self) -> Mapping[str, str]:
        return _pages(self._folder / "refusals")

    @cached_property
    def _refusal_parts(self) -> Mapping[str, str]:
        return refusal_parts(self.refusals)


def _pages(folder: Path) -> dict[str, str]:
    """By the names of their files. What is asked for is looked up in it and never put together into a path."""
    return {page.stem: page.read_text(encoding="utf-8") for page in folder.iterdir() if page.suffix == ".md"}
