"""The embedded store: SQLite in a file of the pod's own, written by one thread.

WAL with synchronous=FULL: a swap that was answered is on the disk. Swaps that wait together are committed together,
each judged by what those before it left, so that one fsync pays for many (own; measured by `loadtest claims`).
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple, TypeVar

from sidecar.idempotency.record import DamagedRecord, KeyRecord, KeyState, decode_record, encode_record
from sidecar.idempotency.store import StoredKey, StoreUnavailable, Swapped, UnfitStore

_MOST_TOGETHER: Final = 256
_PAGE: Final = 500
_BUSY_MILLISECONDS: Final = 1000
"""For which another process may hold the file, such as `sidecar idempotency show`."""
_SCHEMA: Final = """\
CREATE TABLE IF NOT EXISTS keys (
  key BLOB PRIMARY KEY, version BLOB NOT NULL, state TEXT NOT NULL, scope BLOB NOT NULL,
  at REAL NOT NULL, lapses REAL, ends REAL NOT NULL, rejects INTEGER NOT NULL, record BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tombstones (key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_ends ON keys (ends);
CREATE INDEX IF NOT EXISTS keys_open ON keys (at) WHERE state IN ('in_flight', 'unknown');
CREATE INDEX IF NOT EXISTS keys_scope ON keys (scope);
"""

T = TypeVar("T")


class _Job(NamedTuple):
    """Something for the thread to do, and where its result goes."""

    do: Callable[[sqlite3.Connection], object]
    future: "asyncio.Future[object]"
    loop: asyncio.AbstractEventLoop


class SqliteStore:
    """Records in one file. Implements `store.Store`; `clock` is its clock, in seconds."""

    shared = False

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.page_ceiling: int | None = None
        """The most pages (of 4 KiB) the file may have; None: as many as the disk has room for."""
        self.commits = 0

    async def open(self) -> None:
        """See `store.Store`. The file and its tables are made where there are none."""
        self._thread = threading.Thread(target=self._write, name="idempotency-store", daemon=True)
        self._thread.start()
        try:
            await self._ask(self._prepare)
        except StoreUnavailable:
            await self.close()
            raise

    async def close(self) -> None:
        """See `store.Store`."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    async def swap(self, key: bytes, expected: KeyRecord | None, record: KeyRecord) -> Swapped:
        """See `store.Store`."""
        return await self._ask(lambda db: self._swap(db, key, expected, record))

    async def read(self, key: bytes) -> Swapped:
        """See `store.Store`."""
        return await self._ask(lambda db: Swapped(done=True, current=_find(db, key), now=self._clock()))

    async def unknown(self, limit: int) -> Sequence[StoredKey]:
        """See `store.Store`."""
        return await self._ask(
            lambda db: _stored(
                db.execute(
                    "SELECT key, record FROM keys WHERE state IN ('in_flight', 'unknown') AND"
                    " (state = 'unknown' OR lapses <= ?) ORDER BY at LIMIT ?",
                    (self._clock(), limit),
                )
            )
        )

    async def scan(self, scope: bytes | None) -> AsyncIterator[StoredKey]:
        """See `store.Store`."""
        after = b""
        while True:
            page = await self._ask(lambda db, after=after: _page(db, scope, after))  # type: ignore[misc]
            for stored in page:
                yield stored
            if len(page) < _PAGE:
                return
            after = page[-1].key

    async def purge(self, limit: int) -> int:
        """See `store.Store`."""
        return await self._ask(lambda db: self._purge(db, limit))

    async def _ask(self, do: Callable[[sqlite3.Connection], T]) -> T:
        if self._thread is None or not self._thread.is_alive():
            raise StoreUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._jobs.put(_Job(do, future, loop))
        result: T = await future  # type: ignore[assignment]
        return result

    # In the thread

    def _write(self) -> None:
        db: sqlite3.Connection | None = None
        open_ = True
        while open_:
            jobs, open_ = self._taken()
            if not jobs:
                continue
            results: list[object] = []
            try:
                if db is None:
                    db = self._connect()
                if self.page_ceiling is not None:
                    db.execute(f"PRAGMA max_page_count={self.page_ceiling}")
                db.execute("BEGIN IMMEDIATE")
                results = [_result(job, db) for job in jobs]
                db.execute("COMMIT")
                self.commits += 1
            except (sqlite3.Error, OSError) as error:
                # Nothing of it is on the disk, or that is unknown: all callers are told, and the file is opened anew.
                results = [StoreUnavailable(f"{self._path}: {error}")] * len(jobs)
                if db is not None:
                    with suppress(sqlite3.Error):
                        db.close()
                    db = None
            for job, result in zip(jobs, results, strict=True):
                with suppress(RuntimeError):  # its loop is closed
                    job.loop.call_soon_threadsafe(_tell, job.future, result)
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _taken(self) -> tuple[list[_Job], bool]:
        """The waiting jobs, at least one, and whether there may be more."""
        job = self._jobs.get()
        jobs: list[_Job] = []
        while job is not None:
            jobs.append(job)
            if len(jobs) >= _MOST_TOGETHER or self._jobs.empty():
                return jobs, True
            job = self._jobs.get()
        return jobs, False

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=_BUSY_MILLISECONDS / 1000)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        mode = db.execute("PRAGMA journal_mode").fetchone()[0]
        if mode != "wal":
            raise UnfitStore(f"{self._path}: journal mode is {mode}: its file system cannot share memory, as WAL needs")
        for statement in _SCHEMA.split(";\n"):
            db.execute(statement)

    def _swap(self, db: sqlite3.Connection, key: bytes, expected: KeyRecord | None, record: KeyRecord) -> Swapped:
        current = _find(db, key)
        same = current is None if expected is None else current is not None and current.version == expected.version
        if same:
            _put(db, key, record)
            current = record
        return Swapped(same, current, self._clock())

    def _purge(self, db: sqlite3.Connection, limit: int) -> int:
        now = self._clock()
        over = db.execute(
            "SELECT key, rejects FROM keys WHERE ends <= ? ORDER BY ends LIMIT ?", (now, limit)
        ).fetchall()
        for key, rejects in over:
            if rejects:
                db.execute("INSERT OR IGNORE INTO tombstones VALUES (?)", (key,))
            db.execute("DELETE FROM keys WHERE key = ?", (key,))
        return len(over)


def _result(job: _Job, db: sqlite3.Connection) -> object:
    try:
        return job.do(db)
    except (DamagedRecord, UnfitStore) as error:
        return StoreUnavailable(f"a damaged record: {error}") if isinstance(error, DamagedRecord) else error


def _tell(future: "asyncio.Future[object]", result: object) -> None:
    if future.done():  # the caller has gone
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _find(db: sqlite3.Connection, key: bytes) -> KeyRecord | None:
    row = db.execute("SELECT record FROM keys WHERE key = ?", (key,)).fetchone()
    if row is not None:
        return decode_record(row[0])
    gone = db.execute("SELECT 1 FROM tombstones WHERE key = ?", (key,)).fetchone()
    return None if gone is None else decode_record(b"")


def _put(db: sqlite3.Connection, key: bytes, record: KeyRecord) -> None:
    rejects = record.rejects and record.state is not KeyState.RELEASED
    lapses = record.at + record.lease if record.state is KeyState.IN_FLIGHT else None
    db.execute(
        "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key,
            record.version,
            record.state.value,
            record.scope,
            record.at,
            lapses,
            record.ends_at,
            rejects,
            encode_record(record),
        ),
    )


def _stored(rows: "sqlite3.Cursor") -> list[StoredKey]:
    return [StoredKey(key, decode_record(record)) for key, record in rows]


def _page(db: sqlite3.Connection, scope: bytes | None, after: bytes) -> list[StoredKey]:
    if scope is None:
        return _stored(db.execute("SELECT key, record FROM keys WHERE key > ? ORDER BY key LIMIT ?", (after, _PAGE)))
    return _stored(
        db.execute(
            "SELECT key, record FROM keys WHERE scope = ? AND key > ? ORDER BY key LIMIT ?", (scope, after, _PAGE)
        )
    )
