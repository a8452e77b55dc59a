"""The parts of the page of refusals that a sidecar serves, word by word."""

import re
from pathlib import Path

import pytest

from sidecar.admin.refusals import refusal_parts
from sidecar.engine.verdict import Refusal

PAGE = Path(__file__).resolve().parents[2] / "docs" / "refusals.md"
PARTS = refusal_parts(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("refusal", Refusal)
def test_a_reason_to_refuse_a_retry_has_a_part_that_says_what_to_do(refusal: Refusal) -> None:
    part = PARTS[refusal.value]

    assert part.startswith(f"### {refusal.value}\n")
    assert "**Do:**" in part
    assert part.count("**Do:**") == 1  # its own, and nothing of its neighbour's


def test_a_word_of_a_table_has_its_row_a_cell_in_a_line() -> None:
    page = (
        "# A\n\n## Own\n\n| status | reason | what |\n| --- | --- | --- |\n"
        "| 502 | `reset` | lost |\n| 431 | `a`, `b_c` | more |\n"
    )

    parts = refusal_parts(page)

    assert parts == {
        "reset": "## Own\n\nstatus: 502\nreason: `reset`\nwhat: lost\n",
        "a": "## Own\n\nstatus: 431\nreason: `a`, `b_c`\nwhat: more\n",
        "b_c": "## Own\n\nstatus: 431\nreason: `a`, `b_c`\nwhat: more\n",
    }


def test_a_word_with_a_section_and_rows_has_all_of_them_the_section_first() -> None:
    part = PARTS["breaker_open"]

    assert part.index("### breaker_open") == 0
    assert "status: 503\nreason: `breaker_open`" in part


def test_every_word_that_the_page_gives_as_a_reason_has_a_part() -> None:
    text = re.sub(r"\[(`[a-z_]+`)\]\([^)]+\)", r"\1", PAGE.read_text(encoding="utf-8"))  # links to pages of their own
    rows = re.findall(r"^\| (?:\d+ \| )?(`[a-z_`, ]+`) \|", text, re.MULTILINE)
    words = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)}

    assert {"timeout", "connect_failure", "tls_expired", "bad_status_line", "body_too_large"} <= words <= PARTS.keys()
