"""The protocol of stores: each store's methods are called as it says."""

import inspect

import pytest

from sidecar.idempotency.store import Store
from sidecar.idempotency.stores.memory import MemoryStore
from sidecar.idempotency.stores.postgres import PostgresStore
from sidecar.idempotency.stores.redis import RedisStore
from sidecar.idempotency.stores.sqlite import SqliteStore

METHODS = ("open", "close", "swap", "read", "unknown", "scan", "purge")


@pytest.mark.parametrize("store", [MemoryStore, SqliteStore, RedisStore, PostgresStore])
@pytest.mark.parametrize("method", METHODS)
def test_a_store_is_asked_as_the_protocol_says(store: type, method: str) -> None:
    assert inspect.signature(getattr(store, method)) == inspect.signature(getattr(Store, method))


@pytest.mark.parametrize("store", [MemoryStore, SqliteStore, RedisStore, PostgresStore])
def test_a_store_says_whether_others_see_what_it_keeps(store: type) -> None:
    assert store.shared is (store in (RedisStore, PostgresStore))  # type: ignore[attr-defined]
