"""The PostgreSQL store, against a real server."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from sidecar.idempotency.register import Register
from sidecar.idempotency.store import Store, StoreUnavailable, UnfitStore
from sidecar.idempotency.stores.postgres import PostgresStore
from tests.fakes.store_servers import PostgresServer
from tests.idempotency.stores.conformance import DurableStoreConformance, Place


class PostgresPlace(Place):
    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.address = server.url

    def store(self) -> PostgresStore:
        return PostgresStore(self.address)

    def kill(self) -> None:
        self.server.kill()

    def restart(self) -> None:
        self.server.start()

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        self.server.pause()
        try:
            yield
        finally:
            self.server.resume()

    @asynccontextmanager
    async def full(self, store: Store) -> AsyncIterator[None]:
        """Its table may not grow: PostgreSQL's own error for a full disk (53100), raised by a trigger."""
        del store
        async with await psycopg.AsyncConnection.connect(self.address, autocommit=True) as connection:
            await connection.execute(
                "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
                " $$BEGIN IF (SELECT pg_total_relation_size('sidecar_idempotency')) > 500000 THEN"
                " RAISE disk_full USING MESSAGE = 'could not extend file: No space left on device'; END IF;"
                " RETURN NEW; END$$"
            )
            await connection.execute(
                "CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON sidecar_idempotency"
                " FOR EACH ROW EXECUTE FUNCTION no_room()"
            )
            try:
                yield
            finally:
                await connection.execute("DROP TRIGGER no_room ON sidecar_idempotency")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A folder of the system's, not of pytest's, which only its owner can reach: PostgreSQL is somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="sidecar-postgres-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def running_server(cluster: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(cluster)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(running_server: PostgresServer) -> PostgresServer:
    with psycopg.connect(running_server.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS sidecar_idempotency")
        connection.execute("DROP FUNCTION IF EXISTS no_room")
    return running_server


class TestPostgresStore(DurableStoreConformance):
    @pytest.fixture
    def place(self, server: PostgresServer) -> Place:
        return PostgresPlace(server)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="PostgreSQL"):
        await Register(PostgresStore("postgresql://sidecar@127.0.0.1:1/postgres")).open()


async def test_a_server_that_forgets_what_it_confirmed_is_refused(server: PostgresServer) -> None:
    server.kill()
    server.settings["fsync"] = "off"
    server.start()
    register = Register(PostgresStore(server.url))

    with pytest.raises(UnfitStore, match="fsync"):
        await register.open()

    await register.close()
    server.kill()
    del server.settings["fsync"]
    server.start()
