"""The embedded store."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.idempotency.ledger import Complete, LedgerRuling
from sidecar.idempotency.register import Register
from sidecar.idempotency.store import Store, StoreUnavailable
from sidecar.idempotency.stores.sqlite import SqliteStore
from tests.idempotency.stores.conformance import KEY, DurableStoreConformance, Place, claim, granted, opened


class SqlitePlace(Place):
    """A file. Its server is the process itself, so that killing it is left to the tests that kill the sidecar."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "idempotency.db"
        self.address = str(self.path)

    def store(self) -> SqliteStore:
        return SqliteStore(self.path)

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        """Another process holds the file."""
        other = sqlite3.connect(self.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("COMMIT")
        other.close()

    @asynccontextmanager
    async def full(self, store: Store) -> AsyncIterator[None]:
        """SQLite's own word for a full disk, SQLITE_FULL, by a limit on the pages of the file."""
        assert isinstance(store, SqliteStore)
        store.page_ceiling = 64
        yield
        store.page_ceiling = None


class TestSqliteStore(DurableStoreConformance):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return SqlitePlace(tmp_path)


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "idempotency.db"
    path.write_bytes(b"nonsense" * 1000)

    with pytest.raises(StoreUnavailable, match="not a database"):
        await Register(SqliteStore(path)).open()


async def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await Register(SqliteStore(tmp_path / "none" / "idempotency.db")).open()


async def test_a_record_that_was_damaged_is_unavailable_and_the_others_are_not(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)
    async with opened(place) as register:
        await granted(register)
        other = sqlite3.connect(place.path)
        other.execute("UPDATE keys SET record = x'c1c1'")
        other.commit()
        other.close()

        with pytest.raises(StoreUnavailable, match="damaged"):
            await register.apply(KEY, claim())
        assert (await register.apply(b"o" * 32, claim())).ruling is LedgerRuling.GRANTED


async def test_a_clock_that_steps_back_ends_nothing(tmp_path: Path) -> None:
    now = 1e9
    register = Register(SqliteStore(tmp_path / "idempotency.db", clock=lambda: now))
    await register.open()
    held = await granted(register)
    now -= 86400.0

    assert (await register.apply(KEY, claim())).ruling is LedgerRuling.IN_FLIGHT
    await register.apply(KEY, Complete(held, 201, b"x"))
    now -= 86400.0
    assert (await register.apply(KEY, claim())).ruling is LedgerRuling.REPLAY
    await register.close()


async def test_a_closed_store_is_unavailable(tmp_path: Path) -> None:
    register = Register(SqliteStore(tmp_path / "idempotency.db"))
    await register.open()
    await register.close()

    with pytest.raises(StoreUnavailable):
        await register.read(KEY)


async def test_what_waits_together_is_committed_together(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "idempotency.db")
    register = Register(store)
    await register.open()
    before = store.commits

    await asyncio.gather(*(granted(register, number.to_bytes(32, "big")) for number in range(200)))

    assert store.commits - before < 100
    await register.close()
