from pathlib import Path

import pytest

from sidecar.governance.documents.settings import SETTINGS
from sidecar.governance.review.reference import bounds_of, reference

DOCS = Path(__file__).resolve().parents[3] / "docs" / "settings.md"


def test_the_page_is_what_the_types_and_the_engine_say() -> None:
    assert DOCS.read_text(encoding="utf-8") == reference(), "run: make docs"


@pytest.mark.parametrize(
    ("setting", "bounds"),
    [
        ("retry.max_attempts", "between 1 and 10"),
        ("budget.ratio", "between 0 and 1.0"),
        ("retry.backoff.base", "between 1ms and 1m"),
        ("retry.statuses", "408, 425, 429 or 5xx"),
        ("retry.methods", "idempotent"),
        ("concurrency.limit", "`adaptive` or `fixed`"),
        ("retry.faults", "some of `connect_failure`, `reset`, `timeout`"),
        ("retry.retry_after.honour", "`true` or `false`"),
    ],
)
def test_bounds_are_asked_of_the_engine(setting: str, bounds: str) -> None:
    assert bounds_of(setting) == bounds


def test_every_setting_has_a_row() -> None:
    assert [line.split("`")[1] for line in reference().splitlines() if line.startswith("| `")] == list(SETTINGS)
