import runpy
import shutil
import sys
from pathlib import Path

import pytest

from sidecar.review.catalogue import BY_ID, KINDS
from sidecar.review.pages import index, page_of

DOCS = Path(__file__).resolve().parents[2] / "docs" / "gate"


def test_there_is_a_page_for_every_finding_and_for_nothing_else() -> None:
    assert {path.stem for path in DOCS.glob("*.md")} - {"README"} == set(BY_ID)


def test_the_pages_are_the_ones_that_the_code_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(DOCS / "README.md", tmp_path)
    monkeypatch.setattr(sys, "argv", ["pages", str(tmp_path)])
    monkeypatch.delitem(sys.modules, "sidecar.review.pages")

    runpy.run_module("sidecar.review.pages", run_name="__main__")

    for page in tmp_path.iterdir():
        assert page.read_text(encoding="utf-8") == (DOCS / page.name).read_text(encoding="utf-8"), "make docs"


def test_a_page_says_why_and_shows_both_sides() -> None:
    page = page_of(BY_ID["key-parameter"])

    assert page.startswith("# key-parameter\n")
    assert "## Why" in page
    assert "Refused:" in page
    assert "Mended:" in page


def test_the_table_has_a_row_for_each() -> None:
    assert len(index().splitlines()) == len(KINDS) + 2
