"""The Redis store, against a real server."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from sidecar.idempotency.ledger import Complete, LedgerRuling, Renew
from sidecar.idempotency.record import KeyState
from sidecar.idempotency.register import Register
from sidecar.idempotency.store import Store, StoreUnavailable, UnfitStore
from sidecar.idempotency.stores.redis import RedisStore
from tests.fakes.store_servers import RedisServer
from tests.idempotency.stores.conformance import KEY, DurableStoreConformance, Place, claim, granted, opened, state_of


class RedisPlace(Place):
    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.address = server.url

    def store(self) -> RedisStore:
        return RedisStore(self.address)

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
        del store
        async with Redis.from_url(self.address) as admin:
            used = (await admin.info("memory"))["used_memory"]
            await admin.config_set("maxmemory", used + (2 << 20))
            yield
            await admin.config_set("maxmemory", 0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


class TestRedisStore(DurableStoreConformance):
    @pytest.fixture
    def place(self, server: RedisServer) -> Place:
        return RedisPlace(server)


async def test_a_redis_that_evicts_is_refused(server: RedisServer) -> None:
    async with Redis.from_url(server.url) as admin:
        await admin.config_set("maxmemory-policy", "allkeys-lru")
    register = Register(RedisStore(server.url))

    with pytest.raises(UnfitStore, match="maxmemory-policy must be noeviction, is allkeys-lru"):
        await register.open()

    await register.close()


async def test_a_redis_that_is_not_there_is_unavailable(server: RedisServer) -> None:
    server.kill()
    register = Register(RedisStore(server.url))

    with pytest.raises(StoreUnavailable):
        await register.open()

    await register.close()
    server.start()


async def test_a_failover_that_lost_the_last_second_is_healed_by_those_still_at_it(server: RedisServer) -> None:
    renewed, completed = b"r" * 32, b"c" * 32
    async with opened(RedisPlace(server)) as register, Redis.from_url(server.url) as admin:
        one, two = await granted(register, renewed), await granted(register, completed)
        await admin.flushall()

        await register.apply(renewed, Renew(one))
        await register.apply(completed, Complete(two, 201, b"x"))

        assert await state_of(register, renewed) is KeyState.IN_FLIGHT
        assert (await register.apply(completed, claim())).ruling is LedgerRuling.REPLAY


async def test_a_key_completed_in_a_second_that_a_failover_lost_is_new(server: RedisServer) -> None:
    """It may run twice: docs/idempotency.md says so, and names the store that does not forget."""
    async with opened(RedisPlace(server)) as register, Redis.from_url(server.url) as admin:
        await register.apply(KEY, Complete(await granted(register), 201, b"x"))
        await admin.flushall()

        assert (await register.apply(KEY, claim())).ruling is LedgerRuling.GRANTED


async def test_a_holder_whose_key_was_lost_and_taken_is_superseded(server: RedisServer) -> None:
    async with opened(RedisPlace(server)) as register, Redis.from_url(server.url) as admin:
        held = await granted(register)
        await admin.flushall()
        await granted(register)

        assert (await register.apply(KEY, Complete(held, 201, b"x"))).ruling is LedgerRuling.SUPERSEDED
