"""A payment service behind the gate: charges per key at most 1, whatever is retried, lost and killed, on each store."""

import asyncio
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.charge_pods import READY_WITHIN, Pod, charge, charges_of, payments, pods, store_of
from tests.fakes.store_servers import StoreServer

SECONDS = float(os.environ.get("CHARGES_SECONDS", "8"))
"""For which sidecars and store are killed at random; five minutes for the whole of it."""
STORES = ("sqlite", "redis", "postgres")
CONTRACT = {
    (201, ""),
    (409, "in_flight"),
    (409, "outcome_unknown"),
    (429, ""),
    (500, ""),
    (502, "reset"),
    (502, "connect_failure"),
    (503, "store_unavailable"),
    (504, "timeout"),
}
"""Everything that may be answered here, and its reason where it is the sidecar's own answer."""


@pytest.mark.parametrize("kind", STORES)
async def test_of_fifty_equal_requests_at_two_sidecars_one_is_run(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        app = stack.enter_context(payments(0.0))
        store, _ = stack.enter_context(store_of(kind))
        running = stack.enter_context(pods(tmp_path, app, kind, store))
        async with aiohttp.ClientSession() as session:
            asked = [charge(session, running[n % len(running)].port, "order-1") for n in range(50)]
            got = await asyncio.gather(*asked)
        charged = charges_of(app)

    assert charged == {"order-1": 1}
    assert set(got) <= {(201, ""), (409, "in_flight")}
    assert (201, "") in got


@pytest.mark.parametrize("kind", STORES)
async def test_nothing_is_charged_twice_while_sidecars_and_store_are_killed(tmp_path: Path, kind: str) -> None:
    dice = random.Random(7)
    seen: dict[tuple[int, str], int] = {}
    asked = 0

    async def client(session: aiohttp.ClientSession, running: list[Pod], number: int, until: float) -> None:
        nonlocal asked
        own = random.Random(number)
        order = 0
        while time.monotonic() < until:
            order += 1
            # Retries, whatever was answered; some of them when a lease has lapsed.
            tried = order if own.random() < 0.7 else own.randrange(1, order + 1)
            for _ in range(own.randrange(1, 5)):
                asked += 1
                timeout = aiohttp.ClientTimeout(own.choice((0.03, 0.3, 3.0)))
                try:
                    async with asyncio.timeout(timeout.total):
                        got = await charge(session, own.choice(running).port, f"order-{number}-{tried}")
                    seen[got] = seen.get(got, 0) + 1
                except (aiohttp.ClientError, TimeoutError):
                    await asyncio.sleep(0.01)

    async def trouble(running: list[Pod], server: StoreServer | None, until: float) -> None:
        while time.monotonic() < until:
            await asyncio.sleep(dice.uniform(0.3, 1.5))
            victim: Any = dice.choice([*running, *([] if server is None else [server])])
            victim.kill()
            await asyncio.to_thread(victim.start)

    with ExitStack() as stack:
        app = stack.enter_context(payments(0.3))
        store, server = stack.enter_context(store_of(kind))
        running = stack.enter_context(pods(tmp_path, app, kind, store))
        until = time.monotonic() + SECONDS
        async with aiohttp.ClientSession() as session:
            callers = [client(session, running, number, until) for number in range(12)]
            await asyncio.gather(trouble(running, server, until), *callers)
        charged = charges_of(app)

    assert {order: count for order, count in charged.items() if count > 1} == {}
    assert seen.keys() <= CONTRACT
    assert len(charged) > 20
    assert asked > len(charged)


async def test_the_service_itself_tells_what_became_of_keys_whose_answers_were_lost(tmp_path: Path) -> None:
    probe = {"path": "/by-order/{key}", "applied": [200], "not_applied": [404], "after": "0s"}
    with ExitStack() as stack:
        app = stack.enter_context(payments(0.9))
        store, _ = stack.enter_context(store_of("sqlite"))
        pod = Pod(tmp_path / "pod", app, store, 1, probe=probe)
        pod.start()
        stack.callback(pod.kill)
        async with aiohttp.ClientSession() as session:
            first = [await charge(session, pod.port, f"order-{number}") for number in range(30)]
            async with asyncio.timeout(READY_WITHIN):
                last = first
                while {status for status, _ in last} - {200, 201}:
                    await asyncio.sleep(0.1)
                    last = [await charge(session, pod.port, f"order-{number}") for number in range(30)]
        charged = charges_of(app)
        command = [sys.executable, "-m", "sidecar", "idempotency", "show", "--unknown"]
        shown = await asyncio.to_thread(
            subprocess.run,
            [*command, "--admin", f"http://127.0.0.1:{pod.admin}", "--token-file", str(tmp_path / "pod" / "token")],
            capture_output=True,
            text=True,
            check=False,
        )

    assert {status for status, _ in first} & {500, 502}
    assert charged == {f"order-{number}": 1 for number in range(30)}
    assert shown.returncode == 0, shown.stdout + shown.stderr
