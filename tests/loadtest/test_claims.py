"""The measurement of stores: it counts what was claimed, in order."""

from loadtest.claims import measure
from sidecar.idempotency.stores.memory import MemoryStore


async def test_claims_are_counted_and_timed() -> None:
    figures = await measure(MemoryStore(), 0.05, 2)

    assert figures["claims_per_second"] > 0
    assert 0 <= figures["p50_ms"] <= figures["p99_ms"]
