"""Stores that fail for real: a disk without room, and a Redis whose primary dies with what its replica had not seen."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import aiohttp
from redis.asyncio import Redis

from tests.fakes.charge_pods import Pod, charge, charges_of, payments
from tests.fakes.relay import Relay
from tests.fakes.store_servers import RedisServer

WITHIN = 60.0
FULL = (503, "store_unavailable")
DISK_BYTES, BALLAST_KIB = 3 << 20, 2048


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + WITHIN
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def paid(session: aiohttp.ClientSession, pod: Pod, orders: Iterable[str]) -> dict[str, tuple[int, str]]:
    return {order: await charge(session, pod.port, order) for order in orders}


async def test_a_disk_that_is_full_refuses_forgets_nothing_and_serves_again_when_there_is_room(tmp_path: Path) -> None:
    bwrap = shutil.which("bwrap")
    assert bwrap is not None, "bubblewrap is missing: see .ci/packages"
    disk, room = tmp_path / "disk", tmp_path / "room"
    disk.mkdir()
    os.mkfifo(room)
    # A file system of its own, of 3 MiB, 2 of them taken by a file that goes when the test writes to `room`.
    script = (
        f"head -c {BALLAST_KIB}k /dev/zero > {disk}/ballast; (read word < {room}; rm {disk}/ballast) & "
        f'exec {sys.executable} -m sidecar run "$@"'
    )
    sandbox = (bwrap, "--die-with-parent", "--dev-bind", "/", "/", "--size", str(DISK_BYTES), "--tmpfs", str(disk))
    with ExitStack() as stack:
        app = stack.enter_context(payments(0.0))
        command = (*sandbox, "--chdir", str(tmp_path / "pod"), "sh", "-c", script, "sidecar")
        pod = Pod(tmp_path / "pod", app, {"sqlite": str(disk / "keys.db")}, 1, command=command)
        pod.start()
        stack.callback(pod.kill)
        async with aiohttp.ClientSession() as session:
            answered: dict[str, tuple[int, str]] = {}
            refused = 0
            deadline = time.monotonic() + WITHIN
            while refused < 20:  # in a row: the file is opened anew, and has room for a moment, when a write has failed
                assert time.monotonic() < deadline
                order = f"order-{len(answered)}"
                answered[order] = await charge(session, pod.port, order)
                refused = refused + 1 if answered[order] == FULL else 0
            charged_when_full = charges_of(app)
            await asyncio.to_thread(room.write_text, "room\n")

            async def has_room() -> bool:
                return await charge(session, pod.port, "order-new") == (201, "")

            await until(has_room)
            again = await paid(session, pod, answered)
            charged = charges_of(app)
        log = pod.log

    first = {order for order, answer in answered.items() if answer == (201, "")}
    assert set(answered.values()) == {(201, ""), FULL}
    assert len(first) > 20
    assert set(charged_when_full) == first  # nothing is run that could not be written down before
    assert {again[order] for order in answered.keys() - first} <= {(201, ""), (409, "in_flight")}
    # What was run before is replayed; where its end could not be written down, it is unknown, and not run again.
    assert {again[order] for order in first} <= {(201, ""), (409, "in_flight"), (409, "outcome_unknown")}
    assert sum(again[order] == (201, "") for order in first) > 0.8 * len(first)
    assert set(charged.values()) == {1}
    assert "Traceback" not in log


async def test_a_redis_failover_forgets_what_the_replica_had_not_seen_and_no_more(tmp_path: Path) -> None:
    seen, lost, late = ([f"{word}-{number}" for number in range(30)] for word in ("seen", "lost", "late"))
    at_once = ("--repl-diskless-sync-delay", "0")
    primary = RedisServer(tmp_path / "primary", "--appendonly", "yes", "--appendfsync", "always", *at_once)
    with ExitStack() as stack:
        app = stack.enter_context(payments(0.0))
        primary.start()
        stack.callback(primary.stop)
        async with Relay(primary.port) as link, Relay(primary.port) as address, aiohttp.ClientSession() as session:
            replica = RedisServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {link.port}")
            await asyncio.to_thread(replica.start)
            stack.callback(replica.stop)
            url = f"redis://127.0.0.1:{address.port}/0"
            running = [Pod(tmp_path / f"pod{number}", app, {"redis": url}, 2) for number in range(2)]
            for pod in running:
                stack.callback(pod.kill)
                await asyncio.to_thread(pod.start)
            async with Redis.from_url(primary.url) as one, Redis.from_url(replica.url) as other:

                async def follows() -> bool:
                    return bool((await other.info("replication"))["master_link_status"] == "up")

                await until(follows)
                answers = [await paid(session, running[0], seen)]
                assert await one.wait(1, 20_000) == 1
                link.hold()
                answers.append(await paid(session, running[0], lost))

                primary.kill()
                await link.switch(None)
                down = await paid(session, running[1], late[:3])
                charged_while_down = charges_of(app)

                await other.execute_command("REPLICAOF", "NO", "ONE")
                await address.switch(replica.port)

            async def follows_on() -> bool:
                return await charge(session, running[1].port, late[0]) == (201, "")

            await until(follows_on)
            again = [await paid(session, running[1], orders) for orders in (seen, lost, late)]
            once_more = [await paid(session, running[0], orders) for orders in (seen, lost, late)]
            charged = charges_of(app)

    for each in (*answers, *again, *once_more):
        assert set(each.values()) == {(201, "")}
    assert set(down.values()) == {FULL}
    assert charged_while_down.keys() == {*seen, *lost}
    assert {charged[order] for order in (*seen, *late)} == {1}
    assert {charged[order] for order in lost} == {2}  # docs/idempotency.md says so: twice, and once more never
