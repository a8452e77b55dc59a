"""Claims per second of the stores of idempotency keys, and how long one takes: `python -m loadtest.claims`.

Each claim is followed by its completion with an answer of 500 bytes, as for a request that is run. Callers work in a
closed loop, `--callers` at once. Redis and PostgreSQL are named by their URLs.
"""

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import click
import uvloop

from sidecar.idempotency.ledger import Complete, KeyClaim
from sidecar.idempotency.register import Register
from sidecar.idempotency.store import Store
from sidecar.idempotency.stores.memory import MemoryStore
from sidecar.idempotency.stores.postgres import PostgresStore
from sidecar.idempotency.stores.redis import RedisStore
from sidecar.idempotency.stores.sqlite import SqliteStore

ANSWER = b"x" * 500


async def measure(store: Store, seconds: float, callers: int) -> dict[str, float]:
    """Claims per second with their completions, and the 50th and 99th percentile of one claim, in milliseconds."""
    register = Register(store)
    await register.open()
    took: list[float] = []
    until = time.perf_counter() + seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < until:
            claim = KeyClaim(os.urandom(16), b"\x01" + bytes(32), 30.0, 86400.0, route="pay", scope=bytes(32))
            key = os.urandom(32)
            held = (await register.apply(key, claim)).record
            took.append(time.perf_counter() - began)
            assert held is not None
            await register.apply(key, Complete(held, 201, ANSWER))

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    lasted = time.perf_counter() - began
    await register.close()
    took.sort()
    return {
        "claims_per_second": round(len(took) / lasted),
        "p50_ms": round(took[len(took) // 2] * 1000, 2),
        "p99_ms": round(took[len(took) * 99 // 100] * 1000, 2),
    }


@click.command(context_settings={"show_default": True})
@click.option("--seconds", type=click.FloatRange(0.2, 60), default=5.0, help="Of each measurement.")
@click.option("--callers", type=click.IntRange(1, 500), default=16, help="At once.")
@click.option("--sqlite", type=click.Path(path_type=Path, file_okay=False), help="A folder on the disk to be measured.")
@click.option("--redis", help="Its URL.")
@click.option("--postgres", help="Its URL.")
def main(*, seconds: float, callers: int, sqlite: Path | None, redis: str | None, postgres: str | None) -> None:
    """Measure the stores that are named, and memory."""
    with tempfile.TemporaryDirectory(dir=sqlite) as folder:
        stores: dict[str, Store] = {"memory": MemoryStore(), "sqlite": SqliteStore(Path(folder) / "keys.db")}
        if redis is not None:
            stores["redis"] = RedisStore(redis)
        if postgres is not None:
            stores["postgres"] = PostgresStore(postgres)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for name, store in stores.items():
                click.echo(json.dumps({"store": name, **runner.run(measure(store, seconds, callers))}))


if __name__ == "__main__":
    main()
