"""A shared store: PostgreSQL, one row for each key and one statement for each transition.

`INSERT … ON CONFLICT DO NOTHING` claims, `UPDATE … WHERE version = …` does everything else; a statement is a
transaction of its own, on the disk before it is answered. After a failover to a replica that was not synchronous, the
keys of the last moments are gone, as every row is: with `synchronous_standby_names` set they are not.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection

from sidecar.idempotency.record import DamagedRecord, KeyRecord, KeyState, decode_record, encode_record
from sidecar.idempotency.store import StoredKey, StoreUnavailable, Swapped, UnfitStore

_CONNECTIONS: Final = 4
_PAGE: Final = 500
_SCHEMA_LOCK: Final = 0x5349444543415249
"""Of the advisory lock under which the table is made: two sidecars that start at once would both make it."""
_SCHEMA: Final = """\
CREATE TABLE IF NOT EXISTS sidecar_idempotency (
  key bytea PRIMARY KEY, version bytea NOT NULL, state text NOT NULL, scope bytea NOT NULL,
  at float8 NOT NULL, lapses float8, ends float8, rejects boolean NOT NULL, record bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS sidecar_idempotency_ends ON sidecar_idempotency (ends) WHERE ends IS NOT NULL;
CREATE INDEX IF NOT EXISTS sidecar_idempotency_open ON sidecar_idempotency (at) WHERE state IN ('in_flight', 'unknown');
CREATE INDEX IF NOT EXISTS sidecar_idempotency_scope ON sidecar_idempotency (scope);
"""
_NOW: Final = "extract(epoch from clock_timestamp())::float8"
_INSERT: Final = (
    "INSERT INTO sidecar_idempotency VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"  # noqa: S608 - all of it from here
    f" ON CONFLICT (key) DO NOTHING RETURNING {_NOW}"
)
_UPDATE: Final = (
    "UPDATE sidecar_idempotency SET version = %s, state = %s, scope = %s, at = %s, lapses = %s, ends = %s,"  # noqa: S608
    f" rejects = %s, record = %s WHERE key = %s AND version = %s RETURNING {_NOW}"
)
_READ: Final = f"SELECT (SELECT record FROM sidecar_idempotency WHERE key = %s), {_NOW}"  # noqa: S608
_UNKNOWN: Final = (
    "SELECT key, record FROM sidecar_idempotency WHERE state IN ('in_flight', 'unknown')"  # noqa: S608
    f" AND (state = 'unknown' OR lapses <= {_NOW}) ORDER BY at LIMIT %s"
)
_PURGE: Final = (
    "WITH over AS (SELECT key FROM sidecar_idempotency"  # noqa: S608
    f" WHERE ends <= {_NOW} ORDER BY ends LIMIT %s FOR UPDATE SKIP LOCKED),"
    " kept AS (UPDATE sidecar_idempotency SET record = '', version = '', state = 'expired', scope = '', lapses = NULL,"
    " ends = NULL WHERE rejects AND key IN (SELECT key FROM over) RETURNING 1),"
    " gone AS (DELETE FROM sidecar_idempotency WHERE NOT rejects AND key IN (SELECT key FROM over) RETURNING 1)"
    " SELECT (SELECT count(*) FROM kept) + (SELECT count(*) FROM gone)"
)
_ERRORS: Final = (psycopg.Error, OSError)


class PostgresStore:
    """Records in one table. Implements `store.Store`."""

    shared = True

    def __init__(self, url: str, password: str | None = None, timeout: float = 2.0) -> None:
        """`url` as in postgresql://user@host:5432/database."""
        self._url = url
        self._password = password
        self._timeout = timeout
        self._statements: set[asyncio.Task[Swapped]] = set()
        self._idle: list[AsyncConnection[Any]] = []
        self._places = asyncio.Semaphore(_CONNECTIONS)

    async def open(self) -> None:
        """See `store.Store`. The table is made where there is none. A server that forgets is refused."""
        async with self._connection() as connection:
            row = await (await connection.execute("SELECT current_setting('fsync')")).fetchone()
            if row is None or row[0] != "on":
                raise UnfitStore("PostgreSQL runs with fsync off: it forgets what it confirmed when its machine stops")
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
                found = await (await connection.execute("SELECT to_regclass('sidecar_idempotency')")).fetchone()
                if found is None or found[0] is None:
                    await connection.execute(_SCHEMA)

    async def close(self) -> None:
        """See `store.Store`."""
        for task in self._statements:
            task.cancel()
        await asyncio.gather(*self._statements, return_exceptions=True)
        while self._idle:
            with suppress(*_ERRORS):
                await self._idle.pop().close()

    async def swap(self, key: bytes, expected: KeyRecord | None, record: KeyRecord) -> Swapped:
        """See `store.Store`."""
        return await self._apart(self._swap(key, expected, record))

    async def read(self, key: bytes) -> Swapped:
        """See `store.Store`."""
        return await self._apart(self._look_up(key))

    async def _swap(self, key: bytes, expected: KeyRecord | None, record: KeyRecord) -> Swapped:
        columns = (
            record.version,
            record.state.value,
            record.scope,
            record.at,
            record.at + record.lease if record.state is KeyState.IN_FLIGHT else None,
            record.ends_at,
            record.rejects and record.state is not KeyState.RELEASED,
            encode_record(record),
        )
        async with self._connection() as connection:
            if expected is None:
                cursor = await connection.execute(_INSERT, (key, *columns))
            else:
                cursor = await connection.execute(_UPDATE, (*columns, key, expected.version))
            row = await cursor.fetchone()
            if row is not None:
                return Swapped(done=True, current=record, now=row[0])
            return await self._read(connection, key, done=False)

    async def _look_up(self, key: bytes) -> Swapped:
        async with self._connection() as connection:
            return await self._read(connection, key, done=True)

    async def unknown(self, limit: int) -> Sequence[StoredKey]:
        """See `store.Store`."""
        async with self._connection() as connection:
            return _stored(await (await connection.execute(_UNKNOWN, (limit,))).fetchall())

    async def scan(self, scope: bytes | None) -> AsyncIterator[StoredKey]:
        """See `store.Store`."""
        after = b""
        while True:
            async with self._connection() as connection:
                cursor = await connection.execute(
                    "SELECT key, record FROM sidecar_idempotency WHERE key > %s AND (%s::bytea IS NULL OR scope = %s)"
                    " AND record <> '' ORDER BY key LIMIT %s",
                    (after, scope, scope, _PAGE),
                )
                page = _stored(await cursor.fetchall())
            for stored in page:
                yield stored
            if len(page) < _PAGE:
                return
            after = page[-1].key

    async def purge(self, limit: int) -> int:
        """See `store.Store`."""
        async with self._connection() as connection:
            row = await (await connection.execute(_PURGE, (limit,))).fetchone()
            return 0 if row is None else int(row[0])

    async def _apart(self, statement: "Coroutine[Any, Any, Swapped]") -> Swapped:
        """Await a statement; a caller that gives up does not wait until a stalled server has heard of it (5 s)."""
        task = asyncio.get_running_loop().create_task(statement)
        self._statements.add(task)
        task.add_done_callback(self._statements.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    @staticmethod
    async def _read(connection: AsyncConnection[Any], key: bytes, *, done: bool) -> Swapped:
        row = await (await connection.execute(_READ, (key,))).fetchone()
        assert row is not None
        return Swapped(done, None if row[0] is None else decode_record(row[0]), row[1])

    @asynccontextmanager
    async def _connection(self) -> "AsyncIterator[AsyncConnection[Any]]":
        """A connection for one statement. What goes wrong with it is StoreUnavailable, and closes it."""
        async with self._places:
            connection: AsyncConnection[Any] | None = None
            try:
                connection = self._idle.pop() if self._idle else await self._connect()
                yield connection
            except _ERRORS as error:
                raise StoreUnavailable(f"PostgreSQL: {str(error).strip() or type(error).__name__}") from error
            except DamagedRecord as error:
                raise StoreUnavailable(f"PostgreSQL: a damaged record: {error}") from error
            else:
                self._idle.append(connection)
                connection = None
            finally:
                if connection is not None:
                    with suppress(*_ERRORS):
                        await connection.close()

    async def _connect(self) -> AsyncConnection[Any]:
        connection = await AsyncConnection.connect(
            self._url,
            autocommit=True,
            password=self._password,
            connect_timeout=max(1, round(self._timeout)),
            options="-c synchronous_commit=on",
            application_name="retry-sidecar",
        )
        connection.prepare_threshold = 3
        return connection


def _stored(rows: Sequence[Any]) -> list[StoredKey]:
    return [StoredKey(bytes(key), decode_record(bytes(record))) for key, record in rows]
