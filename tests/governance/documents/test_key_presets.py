"""Presets of well-known APIs: each is whole, can be used as it is, and stands in the docs with its source."""

from pathlib import Path
from typing import get_args

import pytest

from sidecar.governance.documents.egress_keys import IdempotencyKeySettings
from sidecar.governance.documents.json_pointer import JsonPointer
from sidecar.governance.documents.key_presets import PRESETS, PresetName
from sidecar.governance.documents.units import Duration

DOCS = Path(__file__).parents[3] / "docs" / "idempotency.md"


def test_every_name_has_its_preset() -> None:
    assert list(PRESETS) == list(get_args(PresetName))


@pytest.mark.parametrize("name", PRESETS)
def test_a_key_of_the_sidecars_own_fits_every_preset(name: str) -> None:
    terms = IdempotencyKeySettings(preset=name).with_preset  # type: ignore[arg-type]

    assert 32 <= terms.max_length <= 255
    if terms.location is not None:
        JsonPointer.parse(terms.location)


@pytest.mark.parametrize("name", PRESETS)
def test_the_docs_have_every_preset_as_it_is_with_its_source(name: str) -> None:
    preset = PRESETS[name]
    place = preset.location if preset.location != "header" else preset.header
    kept = "not published" if preset.retention is None else str(Duration(preset.retention))

    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}` |")]

    assert len(rows) == 1
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    longest = str(preset.max_length) if preset.length_published else f"{preset.max_length} (not published)"
    assert cells[1:4] == [f"`{place}`", longest, kept]
    assert f"({preset.source})" in cells[4]
