"""The history of one key: a short list of entries, each with the digest of all before it."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from msgspec import Struct, msgpack

JOURNAL_CEILING: Final = 32
"""Entries kept of one key. The oldest are dropped first; the chain still begins at their digest."""

_pack = msgpack.Encoder().encode


class JournalEntry(Struct, frozen=True, array_like=True):
    """One transition. `at` is the store's clock, in seconds; `status` is 0 where there was no answer.

    `by` and `why` are of a person who resolved the key, or why a transition was made; `digest` is SHA-256 over the
    digest before it and everything here.
    """

    at: float
    event: str
    status: int
    by: str
    why: str
    digest: bytes


class Journal(Struct, frozen=True, array_like=True):
    """Entries in the order in which they were made. `base` is the digest before the first that is kept."""

    entries: tuple[JournalEntry, ...] = ()
    base: bytes = b""
    dropped: int = 0

    def with_entry(self, at: float, event: str, *, status: int = 0, by: str = "", why: str = "") -> "Journal":
        """The journal with one more entry."""
        before = self.entries[-1].digest if self.entries else self.base
        entry = JournalEntry(at, event, status, by, why, _digest(before, at, event, status, by, why))
        entries = (*self.entries, entry)
        if len(entries) <= JOURNAL_CEILING:
            return Journal(entries, self.base, self.dropped)
        return Journal(entries[1:], entries[0].digest, self.dropped + 1)

    def redacted(self) -> "Journal":
        """The journal without what people wrote in it, its chain made anew: for an erasure."""
        journal = Journal()
        for entry in self.entries:
            journal = journal.with_entry(entry.at, entry.event, status=entry.status)
        return journal

    @property
    def intact(self) -> bool:
        """Whether every digest is that of what stands before it."""
        return _intact(self.base, self.entries)


def _intact(base: bytes, entries: Iterable[JournalEntry]) -> bool:
    before = base
    for entry in entries:
        if entry.digest != _digest(before, entry.at, entry.event, entry.status, entry.by, entry.why):
            return False
        before = entry.digest
    return True


def _digest(before: bytes, at: float, event: str, status: int, by: str, why: str) -> bytes:
    return sha256(before + _pack((at, event, status, by, why))).digest()
