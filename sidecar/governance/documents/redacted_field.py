"""A field of what is kept of an idempotency key that is put out of sight: of the answer, or of the journal."""

from typing import Annotated, Final

from msgspec import Meta

REDACTABLE_HEADERS: Final = (
    "content-disposition",
    "content-language",
    "content-location",
    "date",
    "etag",
    "expires",
    "last-modified",
    "link",
    "location",
)
"""Headers that are kept of an answer and can be left out: without the others its body could not be read."""
JOURNAL_WORDS: Final = ("journal.by", "journal.why")

RedactedField = Annotated[
    str,
    Meta(
        pattern=rf"\A(/([^~]|~[01])*|{'|'.join((*REDACTABLE_HEADERS, *JOURNAL_WORDS)).replace('.', '[.]')})\Z",
        max_length=255,
        extra={
            "rule": "must be a JSON pointer into the answer, like /card/number or /cards/*/number, one of its headers "
            f"({', '.join(REDACTABLE_HEADERS)}), {JOURNAL_WORDS[0]} or {JOURNAL_WORDS[1]}"
        },
    ),
]
