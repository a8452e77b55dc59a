"""Redacted fields, as documents name them."""

import pytest
from msgspec import ValidationError, convert

from sidecar.governance.documents.redacted_field import REDACTABLE_HEADERS, RedactedField
from sidecar.idempotency.answer import KEPT_FIELDS


@pytest.mark.parametrize("written", ["/a", "/a~1b/0", "/cards/*/number", "location", "journal.by", "journal.why"])
def test_pointers_headers_and_words_of_the_journal_are_fields(written: str) -> None:
    assert convert(written, RedactedField) == written


@pytest.mark.parametrize("written", ["", "a", "/a~2", "content-type", "content-encoding", "Location", "journal.at"])
def test_anything_else_is_none(written: str) -> None:
    with pytest.raises(ValidationError):
        convert(written, RedactedField)


def test_headers_are_those_that_are_kept() -> None:
    assert {name.encode() for name in REDACTABLE_HEADERS} < KEPT_FIELDS
