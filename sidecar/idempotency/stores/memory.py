"""A store that forgets everything when the process ends: for tests, and for trying things out."""

import time
from collections.abc import AsyncIterator, Callable, Sequence

from sidecar.idempotency.record import TOMBSTONE, KeyRecord, KeyState
from sidecar.idempotency.store import StoredKey, Swapped


class MemoryStore:
    """Records in a dict. Implements `store.Store`; `clock` is its clock, in seconds."""

    shared = False

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._records: dict[bytes, KeyRecord] = {}

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """Do nothing: swapped records live as long as the store object."""

    async def swap(self, key: bytes, expected: KeyRecord | None, record: KeyRecord) -> Swapped:
        """See `store.Store`."""
        current = self._records.get(key)
        same = current is None if expected is None else current is not None and current.version == expected.version
        if same:
            self._records[key] = record
            current = record
        return Swapped(same, current, self._clock())

    async def read(self, key: bytes) -> Swapped:
        """See `store.Store`."""
        return Swapped(done=True, current=self._records.get(key), now=self._clock())

    async def unknown(self, limit: int) -> Sequence[StoredKey]:
        """See `store.Store`."""
        now = self._clock()
        found = [
            StoredKey(key, record)
            for key, record in self._records.items()
            if record.state is KeyState.UNKNOWN or record.lapsed(now)
        ]
        return sorted(found, key=lambda stored: stored.record.at)[:limit]

    async def scan(self, scope: bytes | None) -> AsyncIterator[StoredKey]:
        """See `store.Store`."""
        for key, record in list(self._records.items()):
            if scope is None or record.scope == scope:
                yield StoredKey(key, record)

    async def purge(self, limit: int) -> int:
        """See `store.Store`."""
        now = self._clock()
        over = [
            key
            for key, record in self._records.items()
            if record.state is not KeyState.EXPIRED and now >= record.ends_at
        ][:limit]
        for key in over:
            record = self._records.pop(key)
            if record.rejects and record.state is not KeyState.RELEASED:
                self._records[key] = TOMBSTONE
        return len(over)
