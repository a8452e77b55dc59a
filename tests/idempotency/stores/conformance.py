"""One set of tests for all stores: a store that passes them keeps the ledger's laws."""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sidecar.idempotency.ledger import (
    Complete,
    Doubt,
    Erase,
    Event,
    KeyClaim,
    LedgerRuling,
    Release,
    Renew,
    Resolve,
    apply,
)
from sidecar.idempotency.record import KeyRecord, KeyState
from sidecar.idempotency.register import Register
from sidecar.idempotency.store import Store, StoreUnavailable
from tests.fakes.waiting import turn, until_told

KEY = b"k" * 32
LEASE, RETENTION = 60.0, 3600.0
WITHIN = 20.0
CHILD = Path(__file__).with_name("claimant.py")

_fences = itertools.count(1)


class Place:
    """Where a store keeps its records: `store` makes one more way in, `address` is the same for another process."""

    address: str

    def store(self) -> Store:
        raise NotImplementedError

    def kill(self) -> None:
        """kill -9 the server, where there is one."""

    def restart(self) -> None:
        """Start it again."""

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        """It answers nothing."""
        raise NotImplementedError
        yield

    @asynccontextmanager
    async def full(self, store: Store) -> AsyncIterator[None]:
        """It has no room left; `store` is the one that will notice."""
        raise NotImplementedError
        yield


def claim(
    fingerprint: bytes = b"\x01same", lease: float = LEASE, retention: float = RETENTION, **more: object
) -> KeyClaim:
    return KeyClaim(next(_fences).to_bytes(16, "big"), fingerprint, lease, retention, **more)  # type: ignore[arg-type]


async def granted(register: Register, key: bytes = KEY, event: KeyClaim | None = None) -> KeyRecord:
    applied = await register.apply(key, event or claim())
    assert applied.ruling is LedgerRuling.GRANTED
    assert applied.record is not None
    return applied.record


async def state_of(register: Register, key: bytes = KEY) -> KeyState | None:
    record = await register.read(key)
    return None if record is None else record.state


@asynccontextmanager
async def opened(place: Place, **more: object) -> AsyncIterator[Register]:
    register = Register(place.store(), **more)  # type: ignore[arg-type]
    try:
        await register.open()
        yield register
    finally:
        await register.close()


class StoreConformance:
    """What every store does. A subclass has a fixture `place`."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    async def test_a_key_that_nothing_is_known_of_has_no_record(self, place: Place) -> None:
        async with opened(place) as register:
            assert await register.read(KEY) is None

    async def test_a_record_is_read_as_it_was_swapped_in(self, place: Place) -> None:
        async with opened(place) as register:
            record = await granted(register, event=claim(route="pay", scope=b"s" * 32))

            assert await register.read(KEY) == record

    async def test_a_swap_that_expects_another_record_changes_nothing(self, place: Place) -> None:
        async with opened(place) as register:
            record = await granted(register)
            other = apply(None, claim(), 0.0).record
            assert other is not None

            for expected in (None, other):
                swapped = await register.store.swap(KEY, expected, other)
                assert (swapped.done, swapped.current) == (False, record)

    async def test_a_swap_that_expects_a_record_where_there_is_none_changes_nothing(self, place: Place) -> None:
        async with opened(place) as register:
            other = apply(None, claim(), 0.0).record
            assert other is not None

            swapped = await register.store.swap(KEY, other, other)

            assert (swapped.done, swapped.current) == (False, None)

    async def test_of_fifty_claims_at_once_one_is_granted(self, place: Place) -> None:
        async with opened(place) as one, opened(place) as two:
            pair = (one, two if one.store.shared else one)

            applied = await asyncio.gather(*(pair[number % 2].apply(KEY, claim()) for number in range(50)))

        rulings = [each.ruling for each in applied]
        assert rulings.count(LedgerRuling.GRANTED) == 1
        assert rulings.count(LedgerRuling.IN_FLIGHT) == 49

    async def test_of_fifty_that_end_at_once_one_counts(self, place: Place) -> None:
        async with opened(place) as register:
            held = await granted(register)

            ends = [Complete(held, 200 + number, b"%d" % number) for number in range(50)]
            applied = await asyncio.gather(*(register.apply(KEY, end) for end in ends))

            done = [end for end, each in zip(ends, applied, strict=True) if each.ruling is LedgerRuling.DONE]
            record = await register.read(KEY)
        assert len(done) == 1
        assert record is not None
        assert record.answer == done[0].answer

    @pytest.mark.parametrize("seed", range(3))
    async def test_it_rules_as_the_pure_ledger_does(self, place: Place, seed: int) -> None:
        dice = random.Random(seed)
        keys = [bytes([number]) * 32 for number in range(4)]
        model: dict[bytes, KeyRecord | None] = dict.fromkeys(keys)
        held: dict[bytes, KeyRecord] = {}
        async with opened(place) as register:
            for _ in range(150):
                key = dice.choice(keys)
                event: Event = claim(takes_over=dice.random() < 0.3)
                if key in held and dice.random() < 0.6:
                    event = dice.choice(
                        (
                            Renew(held[key]),
                            Complete(held[key], 201, b"x" * dice.randrange(2000)),
                            Release(held[key], "refused"),
                            Doubt(held[key], "reset", 502, b"y"),
                            Resolve(applied=dice.random() < 0.5, by="a.lee", why="ticket", status=200, answer=b"z"),
                            Erase(),
                        )
                    )

                applied = await register.apply(key, event)
                expected = apply(model[key], event, register.now())

                assert applied.ruling is expected.ruling
                model[key] = await register.read(key)
                assert (model[key] is None) == (expected.record is None)
                if (applied.ruling is LedgerRuling.GRANTED and applied.record is not None) or (
                    isinstance(event, Renew) and applied.record is not None and applied.ruling is LedgerRuling.DONE
                ):
                    held[key] = applied.record
            assert all(record is None or record.journal.intact for record in model.values())

    async def test_an_answer_of_a_mebibyte_is_kept_whole(self, place: Place) -> None:
        answer = random.Random(1).randbytes(1 << 20)
        async with opened(place) as register:
            await register.apply(KEY, Complete(await granted(register), 201, answer))

            record = await register.read(KEY)

        assert record is not None
        assert record.answer == answer

    async def test_a_key_is_new_when_retention_is_over(self, place: Place) -> None:
        async with opened(place) as register:
            held = await granted(register, event=claim(retention=0.05))
            await register.apply(KEY, Complete(held, 201, b"x"))

            async def is_granted() -> bool:
                return (await register.apply(KEY, claim())).ruling is LedgerRuling.GRANTED

            await until_told(is_granted)

    async def test_a_key_that_rejects_stays_expired_through_a_purge(self, place: Place) -> None:
        async with opened(place) as register:
            held = await granted(register, event=claim(retention=0.05, rejects=True))
            await register.apply(KEY, Complete(held, 201, b"x"))

            async def is_expired() -> bool:
                return (await register.apply(KEY, claim())).ruling is LedgerRuling.KEY_EXPIRED

            await until_told(is_expired)
            await register.store.purge(100)

            assert await is_expired()
            assert await state_of(register) is KeyState.EXPIRED

    async def test_a_purge_lets_go_of_what_is_over_and_of_nothing_else(self, place: Place) -> None:
        async with opened(place) as register:
            for number in range(20):
                key = bytes([number]) * 32
                held = await granted(register, key, claim(retention=0.05 if number % 2 else RETENTION))
                await register.apply(key, Complete(held, 201, b"x"))

            async def is_purged() -> bool:
                await register.store.purge(100)
                return len([stored async for stored in register.store.scan(None)]) == 10

            await until_told(is_purged)
            left = {stored.key[0] async for stored in register.store.scan(None)}

        assert left == set(range(0, 20, 2))

    async def test_a_released_key_that_rejects_leaves_no_tombstone(self, place: Place) -> None:
        async with opened(place) as register:
            held = await granted(register, event=claim(retention=0.05, rejects=True))
            await register.apply(KEY, Release(held, "connect_failure"))
            later = register.now() + 1

            async def is_over() -> bool:
                await register.store.purge(100)
                return (await register.store.read(KEY)).now > later

            await until_told(is_over)

            assert (await register.apply(KEY, claim())).ruling is LedgerRuling.GRANTED

    async def test_a_lapsed_lease_and_an_unknown_outcome_wait_to_be_found_out(self, place: Place) -> None:
        keys = [bytes([number]) * 32 for number in range(4)]
        async with opened(place) as register:
            lapsing = await granted(register, keys[0], claim(lease=0.05))
            await register.apply(keys[1], Doubt(await granted(register, keys[1]), "reset"))
            await register.apply(keys[2], Complete(await granted(register, keys[2]), 201, b"x"))
            await granted(register, keys[3])

            async def are_found() -> bool:
                return {stored.key for stored in await register.unknown()} == {keys[0], keys[1]}

            await until_told(are_found)
            assert len(await register.unknown(limit=1)) == 1
            await register.apply(keys[0], Complete(lapsing, 201, b"late"))
            await register.apply(keys[1], Resolve(applied=True, by="a.lee", why="ticket"))

            assert list(await register.unknown()) == []

    async def test_records_of_one_scope_are_found(self, place: Place) -> None:
        async with opened(place) as register:
            for number in range(30):
                await granted(register, bytes([number]) * 32, claim(scope=bytes([number % 3]) * 32))

            found = {stored.key[0] async for stored in register.store.scan(b"\x01" * 32)}

        assert found == set(range(1, 30, 3))

    async def test_sidecars_whose_own_clocks_differ_rule_alike(self, place: Place) -> None:
        async with (
            opened(place, clock=lambda: time.monotonic() * 1.5 - 86400.0) as slow,
            opened(place, clock=lambda: time.monotonic() * 0.5 + 86400.0) as fast,
        ):
            one, two = (slow, fast) if slow.store.shared else (slow, slow)
            held = await granted(one)

            assert (await two.apply(KEY, claim())).ruling is LedgerRuling.IN_FLIGHT
            assert (await one.apply(KEY, Complete(held, 201, b"x"))).ruling is LedgerRuling.DONE
            assert (await two.apply(KEY, claim())).ruling is LedgerRuling.REPLAY

    async def test_it_is_opened_by_many_at_once(self, place: Place) -> None:
        registers = [Register(place.store()) for _ in range(6)]

        await asyncio.gather(*(register.open() for register in registers))

        await asyncio.gather(*(register.close() for register in registers))


def transitions() -> dict[str, list[Callable[[KeyRecord], Event]]]:
    """Each transition behind the ones that lead to it, the claim left out."""
    doubt: Callable[[KeyRecord], Event] = lambda held: Doubt(held, "reset", 502, b"y")  # noqa: E731
    return {
        "claim": [],
        "renew": [Renew],
        "complete": [lambda held: Complete(held, 201, b"x")],
        "release": [lambda held: Release(held, "connect_failure")],
        "doubt": [doubt],
        "resolve": [doubt, lambda _: Resolve(applied=True, by="a.lee", why="ticket", status=201, answer=b"z")],
    }


class DurableStoreConformance(StoreConformance):
    """What every store does that outlives a process."""

    @pytest.mark.parametrize("name", transitions())
    async def test_a_transition_survives_the_store_being_killed(self, place: Place, name: str) -> None:
        async with opened(place) as register:
            held = await granted(register)
            for event in transitions()[name]:
                await register.apply(KEY, event(held))
            record = await register.read(KEY)

            place.kill()
            place.restart()

            async def is_there() -> bool:
                try:
                    return await register.read(KEY) == record
                except StoreUnavailable:
                    return False

            await until_told(is_there)

    async def test_no_claim_that_was_granted_is_forgotten_by_a_store_that_is_killed_in_between(
        self, place: Place
    ) -> None:
        confirmed: dict[bytes, KeyRecord] = {}
        async with opened(place) as register:

            async def claim_and_complete(number: int) -> None:
                key = number.to_bytes(32, "big")
                try:
                    held = await granted(register, key)
                    confirmed[key] = held
                    applied = await register.apply(key, Complete(held, 201, b"x"))
                    assert applied.record is not None
                    confirmed[key] = applied.record
                except StoreUnavailable:
                    return

            tasks = [asyncio.create_task(claim_and_complete(number)) for number in range(400)]
            while len(confirmed) < 20:
                await turn()
            place.kill()
            await asyncio.gather(*tasks)
            place.restart()

            async def answers() -> bool:
                try:
                    await register.read(KEY)
                except StoreUnavailable:
                    return False
                return True

            await until_told(answers)
            for key, record in confirmed.items():
                found = await register.read(key)
                assert found is not None
                assert found.fence == record.fence
                assert found.revision >= record.revision

    @pytest.mark.parametrize("name", transitions())
    async def test_a_transition_survives_the_sidecar_being_killed(self, place: Place, name: str) -> None:
        async with opened(place) as register:
            await register.read(KEY)
        child = subprocess.Popen(  # noqa: ASYNC220 - what it says is awaited in a thread
            [sys.executable, str(CHILD), place.address, name], stdout=subprocess.PIPE, env={**os.environ}
        )
        assert child.stdout is not None
        word = await asyncio.to_thread(child.stdout.readline)

        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()

        async with opened(place) as register:
            record = await register.read(KEY)
            assert record is not None
            assert record.state.value == word.decode().strip()
            again = (await register.apply(KEY, claim())).ruling
        assert (
            again
            is {
                "claim": LedgerRuling.IN_FLIGHT,
                "renew": LedgerRuling.IN_FLIGHT,
                "complete": LedgerRuling.REPLAY,
                "release": LedgerRuling.GRANTED,
                "doubt": LedgerRuling.OUTCOME_UNKNOWN,
                "resolve": LedgerRuling.REPLAY,
            }[name]
        )

    async def test_a_store_that_stalls_is_unavailable_and_its_late_grant_is_the_claims_own(self, place: Place) -> None:
        event = claim()
        async with opened(place, timeout=0.3) as register:
            await register.read(KEY)
            async with place.stalled():
                with pytest.raises(StoreUnavailable):
                    await register.apply(KEY, event)

            async def is_granted() -> bool:
                try:
                    return (await register.apply(KEY, event)).ruling is LedgerRuling.GRANTED
                except StoreUnavailable:
                    return False

            await until_told(is_granted)
            assert (await register.apply(KEY, claim())).ruling is LedgerRuling.IN_FLIGHT

    async def test_a_full_store_is_unavailable_and_forgets_nothing(self, place: Place) -> None:
        confirmed: dict[bytes, KeyRecord] = {}
        async with opened(place) as register:
            async with place.full(register.store):
                with pytest.raises(StoreUnavailable):
                    for number in range(2000):
                        key = number.to_bytes(32, "big")
                        held = await granted(register, key)
                        confirmed[key] = held
                        applied = await register.apply(key, Complete(held, 201, b"x" * 20_000))
                        assert applied.record is not None
                        confirmed[key] = applied.record
                with pytest.raises(StoreUnavailable):
                    for number in range(2000, 4000):
                        await granted(register, number.to_bytes(32, "big"))

            async def is_there(key: bytes, record: KeyRecord) -> bool:
                try:
                    found = await register.read(key)
                except StoreUnavailable:
                    return False
                return found is not None and found.revision >= record.revision

            for key, record in confirmed.items():
                await until_told(lambda key=key, record=record: is_there(key, record))  # type: ignore[misc]
