"""A payment service behind the gate: charges per key at most 1, whatever is retried, lost and killed, on each store."""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.store_servers import PostgresServer, RedisServer, StoreServer, free_port

CHARGES = Path(__file__).with_name("charges.py")
SECONDS = float(os.environ.get("CHARGES_SECONDS", "8"))
"""For which sidecars and store are killed at random; five minutes for the whole of it."""
READY_WITHIN = 20.0
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


class Pod:
    """One sidecar that can be killed and started again on the same ports."""

    def __init__(self, folder: Path, app: int, store: dict[str, str], replicas: int, **terms: object) -> None:
        folder.mkdir()
        self._folder = folder
        self.admin, self.port, egress = free_port(), free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        document = {
            "service": "pay",
            "admin": {"listen": f"127.0.0.1:{self.admin}", "token_file": "token"},
            "egress": {"listen": [f"127.0.0.1:{egress}"]},
            "ingress": {
                "listen": f"127.0.0.1:{self.port}",
                "app": f"http://127.0.0.1:{app}",
                "idempotency": {"store": store, "replicas": replicas, "lease": "5s"},
                "routes": [
                    {"name": "pay", "match": {"methods": ["POST"], "path": "/pay"}, "class": "at_most_once", **terms}
                ],
            },
            "drain": "1s",
        }
        (folder / "token").write_text("t" * 40)
        (folder / "sidecar.yaml").write_text(json.dumps(document))

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sidecar", "run", "--config", "sidecar.yaml"],
                cwd=self._folder,
                stderr=log,
                stdout=log,
            )
        deadline = time.monotonic() + READY_WITHIN
        while not answers(f"http://127.0.0.1:{self.admin}/livez"):
            assert self.process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False


@contextmanager
def payments(trouble: float, seed: int = 1) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(CHARGES), str(port), str(seed), str(trouble)])
    try:
        deadline = time.monotonic() + READY_WITHIN
        while not answers(f"http://127.0.0.1:{port}/charges"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def store_of(kind: str) -> Iterator[tuple[dict[str, str], StoreServer | None]]:
    folder = Path(tempfile.mkdtemp(prefix="sidecar-charges-"))
    server: StoreServer | None = None
    try:
        if kind == "sqlite":
            yield {"sqlite": str(folder / "keys.db")}, None
            return
        server = RedisServer(folder) if kind == "redis" else PostgresServer(folder)
        server.start()
        yield {kind: server.url}, server
    finally:
        if server is not None and server.process is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pods(tmp_path: Path, app: int, kind: str, store: dict[str, str]) -> Iterator[list[Pod]]:
    count = 1 if kind == "sqlite" else 2
    running = [Pod(tmp_path / f"pod{number}", app, store, count) for number in range(count)]
    try:
        for pod in running:
            pod.start()
        yield running
    finally:
        for pod in running:
            pod.kill()


async def charge(session: aiohttp.ClientSession, port: int, order: str) -> tuple[int, str]:
    headers = {"Idempotency-Key": order}
    async with session.post(f"http://127.0.0.1:{port}/pay", json={"order": order}, headers=headers) as answer:
        content = await answer.read()
        if answer.content_type != "application/problem+json":
            return answer.status, ""
        return answer.status, json.loads(content)["reason"]


def charges_of(port: int) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/charges", timeout=5) as answer:
        counts: dict[str, int] = json.load(answer)
        return counts


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
