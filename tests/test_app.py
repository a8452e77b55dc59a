"""The composition root, in the test's own loop."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from sidecar.app import Sidecar
from sidecar.governance.address import Address
from sidecar.governance.finding import Finding, InvalidDocument
from sidecar.governance.snapshot import Snapshot, from_flags
from sidecar.telemetry.log import Format, Level, Log
from tests.fakes.origin import Origin, replying, response


def snapshot_for(port: int, *, timeout: float = 5.0, digest: str = "a") -> Snapshot:
    snapshot = from_flags("checkout", [f"payments=http://127.0.0.1:{port}"], "127.0.0.1:0", None)
    destinations = {
        name: replace(destination, policy=replace(destination.policy, timeout=timeout))
        for name, destination in snapshot.destinations.items()
    }
    return replace(snapshot, admin=Address("127.0.0.1", 0), destinations=destinations, digest=digest)


@asynccontextmanager
async def running(source: list[Snapshot | InvalidDocument], tmp_path: Path) -> AsyncIterator[Sidecar]:
    def load() -> Snapshot:
        loaded = source[-1]
        if isinstance(loaded, InvalidDocument):
            raise loaded
        return loaded

    with (tmp_path / "log").open("wb") as file:
        log = Log(Format.JSON, Level.INFO, file.fileno())
        sidecar = Sidecar(load, load(), log)
        await sidecar.start()
        try:
            yield sidecar
        finally:
            await sidecar.close()
            log.close()
            await asyncio.sleep(0.01)


def address_of(sidecar: Sidecar) -> str:
    return f"http://{next(iter(sidecar._listeners.values())).address}"


async def test_metrics_agree_with_what_the_dependency_counted(tmp_path: Path) -> None:
    async with Origin(replying(response(503), response(200))) as origin:
        async with running([snapshot_for(origin.port)], tmp_path) as sidecar, aiohttp.ClientSession() as session:
            for _ in range(5):
                async with session.get(address_of(sidecar)) as answer:
                    assert answer.status == 200
            destination = sidecar.destinations["payments"]

    assert destination.tally.attempts_total == len(origin.requests) == 6
    assert destination.tally.requests_total == 5


async def test_a_reload_keeps_the_state_and_a_broken_one_keeps_the_policy(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin:
        source: list[Snapshot | InvalidDocument] = [snapshot_for(origin.port)]
        async with running(source, tmp_path) as sidecar, aiohttp.ClientSession() as session:
            async with session.get(address_of(sidecar)):
                pass
            before = sidecar.destinations["payments"]
            source.append(snapshot_for(origin.port, timeout=7.0, digest="b"))
            good = await sidecar.reload()
            source.append(InvalidDocument([Finding("policy.yaml", 4, "defaults.timeout", "must be a duration", "7")]))
            bad = await sidecar.reload()
            async with session.get(address_of(sidecar)) as answer:
                status = answer.status
            after = sidecar.destinations["payments"]
            reloads = sidecar.reloads

    assert good.ok
    assert not bad.ok
    assert after is before
    assert after.policy.timeout == 7.0
    assert after.tally.requests_total == 2
    assert status == 200
    assert (reloads.succeeded, reloads.failed) == (1, 1)
    assert "policy.yaml:4" in (reloads.error or "")


async def test_a_taken_port_frees_all_others_and_is_named(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin:
        snapshot = replace(snapshot_for(origin.port), admin=Address("127.0.0.1", origin.port))
        with pytest.raises(OSError, match=str(origin.port)):
            async with running([snapshot], tmp_path):
                pass


async def test_the_policy_view_tells_where_each_number_is_from(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin, running([snapshot_for(origin.port)], tmp_path) as sidecar:
        view = json.loads(json.dumps(sidecar.policy_view()))

    assert view["destinations"]["payments"]["budget.ratio"]["source"] == "baseline"


async def test_endpoints_that_change_over_a_reload_are_called_from_then_on_by_their_own_name(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as one, Origin(replying(response(200))) as two:
        source: list[Snapshot | InvalidDocument] = [snapshot_for(one.port)]
        async with running(source, tmp_path) as sidecar, aiohttp.ClientSession() as session:
            async with session.get(address_of(sidecar)):
                pass
            source.append(snapshot_for(two.port, digest="b"))
            await sidecar.reload()
            async with session.get(address_of(sidecar)):
                pass

    assert len(one.requests) == len(two.requests) == 1
    assert two.requests[0].header("host") == f"127.0.0.1:{two.port}"
