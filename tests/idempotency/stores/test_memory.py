"""The store for tests."""

import pytest

from sidecar.idempotency.stores.memory import MemoryStore
from tests.idempotency.stores.conformance import Place, StoreConformance


class MemoryPlace(Place):
    def __init__(self) -> None:
        self._store = MemoryStore()

    def store(self) -> MemoryStore:
        return self._store


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def place(self) -> Place:
        return MemoryPlace()
