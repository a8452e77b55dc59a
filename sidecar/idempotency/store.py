"""The interface of all stores of records: a record is only changed if it is unchanged since it was read."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from sidecar.idempotency.record import KeyRecord


class StoreUnavailable(Exception):
    """The store could not be asked, or its answer did not come; what was asked for may have been done all the same."""


class UnfitStore(Exception):
    """A store that would lose keys as it is set up: one line that says what to change."""


class Swapped(Struct, frozen=True):
    """The result of a swap: `done`, or the record that stood in its way. `now` is the store's clock, in seconds."""

    done: bool
    current: KeyRecord | None
    now: float


class StoredKey(Struct, frozen=True):
    """One record with the 32 bytes that its key is known by."""

    key: bytes
    record: KeyRecord


class Store(Protocol):
    """Keys are 32 bytes, a digest: what a client sent is never stored.

    All but `close` raise StoreUnavailable. None raises anything else for what a server or a disk may do.
    """

    shared: bool
    """Whether other sidecars see the same records: without it, only one replica dedupes."""

    async def open(self) -> None:
        """Make it usable. Raises UnfitStore too."""

    async def close(self) -> None:
        """Let go of it; what was swapped is kept."""

    async def swap(self, key: bytes, expected: KeyRecord | None, record: KeyRecord) -> Swapped:
        """Put `record` in the place of `expected` (None: of nothing), in one step and durably, or change nothing.

        Two records are the same when their `version` is. A record whose retention is over may count as nothing, or as
        a tombstone if it `rejects`.
        """

    async def read(self, key: bytes) -> Swapped:
        """The record as it stands; `done` is True."""

    async def unknown(self, limit: int) -> Sequence[StoredKey]:
        """Keys whose outcome is unknown or whose lease has lapsed, at most `limit` of them, the oldest first."""

    def scan(self, scope: bytes | None) -> AsyncIterator[StoredKey]:
        """The records of one scope, or of all, in no order. What is swapped meanwhile may be missed."""

    async def purge(self, limit: int) -> int:
        """Let go of records whose retention is over, at most `limit`; how many there were."""
