"""A process that makes one transition in a store, says so, and waits to be killed: `claimant.py ADDRESS TRANSITION`."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from sidecar.idempotency.register import Register
from sidecar.idempotency.store import Store
from sidecar.idempotency.stores.postgres import PostgresStore
from sidecar.idempotency.stores.redis import RedisStore
from sidecar.idempotency.stores.sqlite import SqliteStore
from tests.idempotency.stores.conformance import KEY, granted, transitions


def store_at(address: str) -> Store:
    if address.startswith("redis:"):
        return RedisStore(address)
    return PostgresStore(address) if address.startswith("postgresql:") else SqliteStore(Path(address))


async def main(address: str, name: str) -> None:
    register = Register(store_at(address))
    await register.open()
    record = held = await granted(register)
    for event in transitions()[name]:
        applied = await register.apply(KEY, event(held))
        assert applied.record is not None
        record = applied.record
    sys.stdout.write(record.state.value + "\n")
    sys.stdout.flush()
    await asyncio.sleep(60)


asyncio.run(main(*sys.argv[1:]))
