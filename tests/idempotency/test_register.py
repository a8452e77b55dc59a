"""The register: one round trip where nobody is in between, and no transition that is lost or made twice."""

import asyncio

import pytest

from sidecar.idempotency.ledger import Complete, KeyClaim, LedgerRuling
from sidecar.idempotency.record import KeyRecord
from sidecar.idempotency.register import Register
from sidecar.idempotency.store import StoreUnavailable, Swapped
from sidecar.idempotency.stores.memory import MemoryStore

KEY = b"k" * 32


def claim(number: int = 1) -> KeyClaim:
    return KeyClaim(number.to_bytes(16, "big"), b"\x01same", 30.0, 60.0)


class CountedStore(MemoryStore):
    """Counts what it is asked; may lose answers, or never answer."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 1000.0)
        self.asked: list[str] = []
        self.answers_to_lose = 0
        self.stalls = False

    async def swap(self, key: bytes, expected: KeyRecord | None, record: KeyRecord) -> Swapped:
        self.asked.append("swap")
        if self.stalls:
            await asyncio.Event().wait()
        swapped = await super().swap(key, expected, record)
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise StoreUnavailable("the answer was lost")
        return swapped

    async def read(self, key: bytes) -> Swapped:
        self.asked.append("read")
        return await super().read(key)


async def opened() -> tuple[CountedStore, Register]:
    store = CountedStore()
    register = Register(store, clock=lambda: 5.0)
    await register.open()
    store.asked.clear()
    return store, register


async def test_a_claim_and_its_end_are_one_round_trip_each() -> None:
    store, register = await opened()

    held = (await register.apply(KEY, claim())).record
    assert held is not None
    await register.apply(KEY, Complete(held, 201, b"x"))

    assert store.asked == ["swap", "swap"]


async def test_a_replay_is_one_round_trip() -> None:
    store, register = await opened()
    held = (await register.apply(KEY, claim())).record
    assert held is not None
    await register.apply(KEY, Complete(held, 201, b"x"))
    store.asked.clear()

    applied = await register.apply(KEY, claim(2))

    assert applied.ruling is LedgerRuling.REPLAY
    assert store.asked == ["swap"]


async def test_times_are_by_the_clock_of_the_store() -> None:
    _, register = await opened()

    held = (await register.apply(KEY, claim())).record

    assert held is not None
    assert held.at == 1000.0


async def test_a_grant_whose_answer_was_lost_is_granted_all_the_same() -> None:
    store, register = await opened()
    store.answers_to_lose = 1

    applied = await register.apply(KEY, claim())

    assert applied.ruling is LedgerRuling.GRANTED
    assert (register.failures, register.failing, register.seconds.count) == (1, False, 2)


async def test_a_store_that_fails_twice_is_unavailable() -> None:
    store, register = await opened()
    store.answers_to_lose = 2

    with pytest.raises(StoreUnavailable, match="lost"):
        await register.apply(KEY, claim())

    assert register.failing
    await register.apply(KEY, claim())
    assert not register.failing


async def test_a_store_that_does_not_answer_is_unavailable_in_time() -> None:
    store = CountedStore()
    register = Register(store, timeout=0.01)
    await register.open()
    store.stalls = True

    with pytest.raises(StoreUnavailable, match="in time"):
        await register.apply(KEY, claim())


async def test_a_register_that_was_never_opened_writes_no_time_of_another_clock() -> None:
    store = CountedStore()
    register = Register(store, clock=lambda: 5.0)

    first = await register.apply(KEY, claim(1))
    second = await register.apply(KEY, claim(2))

    assert first.record is not None
    assert first.record.at == 1000.0
    assert second.ruling is LedgerRuling.IN_FLIGHT


@pytest.mark.parametrize("step", [-1e6, 1e6])
async def test_a_time_written_by_a_clock_that_has_stepped_since_is_corrected(step: float) -> None:
    now = 1e9
    store = MemoryStore(clock=lambda: now)
    register = Register(store, clock=lambda: 5.0)
    await register.open()
    now += step

    first = await register.apply(KEY, claim(1))
    second = await register.apply(KEY, claim(2))

    assert first.record is not None
    assert first.record.at == now
    assert second.ruling is LedgerRuling.IN_FLIGHT
