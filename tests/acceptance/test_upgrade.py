"""From the release before this one to this one and back: policy cache, ledger, sockets, admin API, unknown settings."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.generations import Generation, free_port, starting, write_file
from tests.fakes.callers import calling
from tests.fakes.origin import Origin, Request, response
from tests.fakes.previous_release import ROOT, previous_commit, unpack

V1 = {"version": 1, "owner": "platform", "defaults": {"retry": {"max_attempts": 2}}}
V2 = V1 | {"version": 2}
WAIT_SECONDS = 60.0
ROUND = ("old", "new", "old")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where each of the two runs from."""
    return {"old": unpack(previous_commit(), tmp_path_factory.mktemp("previous")), "new": ROOT}


async def answering(_: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.005)
    writer.write(response(200))


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def ended(file: Path, tree: Path, name: str) -> AsyncIterator[Generation]:
    """One that is told to end, and does, when the block is over."""
    async with starting(file, name=name, cwd=tree) as generation:
        yield generation
        generation.process.send_signal(signal.SIGTERM)
        assert await generation.ended() == 0


def said(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sidecar", *words]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, timeout=120)


def test_the_two_are_not_the_same(trees: dict[str, Path]) -> None:
    assert "doctor" in said(trees["new"], "--help").stdout
    assert "doctor" not in said(trees["old"], "--help").stdout


async def test_each_begins_with_the_copy_of_the_policy_that_the_other_has_kept(
    tmp_path: Path, trees: dict[str, Path]
) -> None:
    source = tmp_path / "policy.yaml"
    origins = []
    async with Origin(answering) as origin:
        file, _, _ = write_file(tmp_path, origin, policy={"file": "policy.yaml", "cache": "cache"})
        source.write_text(json.dumps(V1))
        for number, which in enumerate((*ROUND, "new")):
            async with ended(file, trees[which], f"log{number}") as one:
                (start,) = one.lines("start")
                origins.append((which, start["origin"], start["policy_version"]))
            source.unlink(missing_ok=True)

    assert origins == [("old", "source", 1), ("new", "copy", 1), ("old", "copy", 1), ("new", "copy", 1)]


async def test_a_key_that_one_has_run_is_not_run_again_by_the_other(tmp_path: Path, trees: dict[str, Path]) -> None:
    async with Origin(answering) as origin:
        ingress = free_port()
        contract = {"name": "pay", "match": {"methods": ["POST"], "path": "/pay"}, "class": "at_most_once"}
        file, _, _ = write_file(
            tmp_path,
            origin,
            ingress={
                "listen": f"127.0.0.1:{ingress}",
                "app": f"http://127.0.0.1:{origin.port}",
                "idempotency": {"store": {"sqlite": "keys.db"}},
                "routes": [contract],
            },
        )
        answers = []
        async with aiohttp.ClientSession() as session:
            for number, which in enumerate((*ROUND, "new")):
                async with ended(file, trees[which], f"log{number}"):
                    for key in range(number + 1):  # those of all before, and one that is new
                        headers = {"Idempotency-Key": f'"order-{key}"'}
                        async with session.post(
                            f"http://127.0.0.1:{ingress}/pay", data=b"x", headers=headers
                        ) as answer:
                            answers.append((answer.status, await answer.read()))
        run = [request.header("idempotency-key") for request in origin.requests if request.line.startswith("POST")]

    assert answers == [(200, b"ok")] * 10
    assert run == [f'"order-{key}"' for key in range(4)]


async def test_sockets_are_handed_from_one_to_the_other_and_back_without_a_request_lost(
    tmp_path: Path, trees: dict[str, Path]
) -> None:
    flags = ("--hand-over", str(tmp_path / "hand-over.sock"))
    async with Origin(answering) as origin:
        file, egress, ingress = write_file(tmp_path, origin)
        async with AsyncExitStack() as processes:
            codes = []
            before = await processes.enter_async_context(starting(file, *flags, name="log0", cwd=trees["old"]))
            async with calling(lambda: [("127.0.0.1", egress), ("127.0.0.1", ingress)]) as callers:
                await callers.until(100)
                for number, which in enumerate(ROUND[1:], 1):
                    after = await processes.enter_async_context(
                        starting(file, *flags, name=f"log{number}", cwd=trees[which])
                    )
                    codes.append(await before.ended())
                    await callers.until(100)
                    before = after
            before.process.send_signal(signal.SIGTERM)
            codes.append(await before.ended())

    assert callers.failures == []
    assert codes == [0, 0, 0]


@pytest.mark.parametrize(("runs", "asks"), [("old", "new"), ("new", "old")])
async def test_the_admin_plane_of_one_is_read_by_the_other(
    tmp_path: Path, trees: dict[str, Path], runs: str, asks: str
) -> None:
    async with Origin(answering) as origin:
        file, _, _ = write_file(tmp_path, origin)
        admin = json.loads(file.read_text())["admin"]["listen"]
        async with ended(file, trees[runs], "log"):
            health = await asyncio.to_thread(said, trees[asks], "health", "--address", admin)
            top = await asyncio.to_thread(said, trees[asks], "top", "--once", "--admin", admin)
            explained = await asyncio.to_thread(said, trees[asks], "report", "-o", "-", "--admin", admin, "-1m")

    assert (health.returncode, health.stdout.splitlines()[0]) == (0, "ready"), health.stderr
    assert (top.returncode, "payments" in top.stdout) == (0, True), top.stderr
    assert explained.returncode == 0 or "has kept no second yet" in explained.stderr, explained.stderr


async def test_a_policy_with_a_setting_that_the_old_one_does_not_know_leaves_it_with_the_one_it_has(
    tmp_path: Path, trees: dict[str, Path]
) -> None:
    source = tmp_path / "policy.yaml"
    newer: dict[str, Any] = V2 | {"min_sidecar": "0.1.0"}
    async with Origin(answering) as origin:
        file, egress, _ = write_file(tmp_path, origin, policy={"file": "policy.yaml", "cache": "cache"})
        admin = json.loads(file.read_text())["admin"]["listen"]
        source.write_text(json.dumps(V1))
        statuses = []
        async with aiohttp.ClientSession() as session:
            async with ended(file, trees["old"], "log0"):
                replacement = tmp_path / "policy.new"
                replacement.write_text(json.dumps(newer))
                replacement.replace(source)
                await _metric(session, admin, "sidecar_policy_reload_success", 0.0)
                version = await _version(session, admin)
                async with session.get(f"http://127.0.0.1:{egress}/") as answer:
                    statuses.append(answer.status)
            async with ended(file, trees["new"], "log1") as new:
                (start,) = new.lines("start")
            source.unlink()
            async with starting(file, name="log2", cwd=trees["old"]) as old:
                again = await _version(session, admin)
                async with session.get(f"http://127.0.0.1:{egress}/") as answer:
                    statuses.append(answer.status)
                old.process.send_signal(signal.SIGTERM)
                assert await old.ended() == 0

    assert (version, start["policy_version"], statuses) == (1, 2, [200, 200])
    assert again == 0  # the copy that the newer one kept is not for it: the built-in policy governs until another comes


async def _metric(session: aiohttp.ClientSession, admin: str, name: str, value: float) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            async with session.get(f"http://{admin}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            if any(line.split(" ")[0] == name and float(line.split(" ")[1]) == value for line in lines):
                return
            await asyncio.sleep(0.1)


async def _version(session: aiohttp.ClientSession, admin: str) -> int:
    async with session.get(f"http://{admin}/?format=json&seconds=1") as answer:
        version: int = (await answer.json())["policy"]["version"]
        return version
