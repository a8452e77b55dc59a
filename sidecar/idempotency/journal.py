"""The history of one key: a short list of entries, each with the digest of all before it.

The chain is over a commitment to the words that an entry has, SHA-256 of a salt and of them, and not over the words:
they can be erased, their salt with them, and every digest that was ever noted down still fits.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from msgspec import Struct, msgpack, structs

JOURNAL_CEILING: Final = 32
"""Entries kept of one key. The oldest are dropped first; the chain still begins at their digest."""

_pack = msgpack.Encoder().encode


class JournalEntry(Struct, frozen=True, array_like=True):
    """One transition. `at` is the store's clock, in seconds; `status` is 0 where there was no answer.

    `by` and `why` are of a person who resolved the key, or why a transition was made; `words` is the commitment to
    them, b"" where there were none, and `digest` SHA-256 over the digest before it, `at`, `event`, `status`, `words`.
    """

    at: float
    event: str
    status: int
    by: str
    why: str
    digest: bytes
    words: bytes = b""
    salt: bytes = b""


class Journal(Struct, frozen=True, array_like=True):
    """Entries in the order in which they were made. `base` is the digest before the first that is kept."""

    entries: tuple[JournalEntry, ...] = ()
    base: bytes = b""
    dropped: int = 0

    def with_entry(
        self, at: float, event: str, *, status: int = 0, by: str = "", why: str = "", salt: bytes = b""
    ) -> "Journal":
        """The journal with one more entry. A random `salt` keeps the words of a person from being guessed."""
        before = self.entries[-1].digest if self.entries else self.base
        words = _commitment(salt, by, why)
        entry = JournalEntry(at, event, status, by, why, _digest(before, at, event, status, words), words, salt)
        entries = (*self.entries, entry)
        if len(entries) <= JOURNAL_CEILING:
            return Journal(entries, self.base, self.dropped)
        return Journal(entries[1:], entries[0].digest, self.dropped + 1)

    def redacted(self) -> "Journal":
        """The journal without the words in it: for an erasure. Its digests stay as they are, and stay true."""
        entries = tuple(structs.replace(entry, by="", why="", salt=b"") for entry in self.entries)
        return Journal(entries, self.base, self.dropped)

    @property
    def intact(self) -> bool:
        """Whether every digest is that of what stands before it, and the words that are still there are those of it."""
        return _intact(self.base, self.entries)


def _intact(base: bytes, entries: Iterable[JournalEntry]) -> bool:
    before = base
    for entry in entries:
        if entry.digest != _digest(before, entry.at, entry.event, entry.status, entry.words):
            return False
        if (entry.by or entry.why) and entry.words != _commitment(entry.salt, entry.by, entry.why):
            return False
        before = entry.digest
    return True


def _commitment(salt: bytes, by: str, why: str) -> bytes:
    return sha256(_pack((salt, by, why))).digest() if by or why else b""


def _digest(before: bytes, at: float, event: str, status: int, words: bytes) -> bytes:
    return sha256(before + _pack((at, event, status, words))).digest()
