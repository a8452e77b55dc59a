"""Policies that change under a real sidecar with traffic through it: nothing fails and nothing is forgotten."""

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.origin import Origin, Request, replying, response
from tests.fakes.running import Running, running

BOUND = 10.0
SWAPS = 20


class Volume:
    """A directory as a kubelet mounts a ConfigMap: `..data` links to the version of the day, and is swapped whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self.swap("")
        (folder / "policy.yaml").symlink_to("..data/policy.yaml")

    def swap(self, text: str) -> None:
        version = self.folder / f"..2026_{next(self._numbers)}"
        version.mkdir()
        (version / "policy.yaml").write_text(text)
        draft = self.folder / "..data_tmp"
        draft.symlink_to(version.name)
        draft.replace(self.folder / "..data")


def policy(version: int, more: Mapping[str, object] | None = None) -> str:
    return json.dumps({"version": version, "owner": "platform", **(more or {})})


async def until(sidecar: Running, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first view of its policy that `holds`, within a bound that only a failure reaches."""
    view: dict[str, Any] = {}
    try:
        async with asyncio.timeout(BOUND):
            while not holds(view := json.loads(await asyncio.to_thread(sidecar.get, "/policy"))):
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError(f"never came: {json.dumps(view)[:2000]}") from None
    return view


def has_version(version: int) -> Callable[[dict[str, Any]], bool]:
    return lambda view: bool(view["version"] == version)


def is_refused(words: str) -> Callable[[dict[str, Any]], bool]:
    return lambda view: words in str(view["reload"]["error"])


async def destinations(sidecar: Running) -> dict[str, dict[str, Any]]:
    views = json.loads(await asyncio.to_thread(sidecar.get, "/destinations"))["destinations"]
    return {view["name"]: view for view in views}


@asynccontextmanager
async def calling(sidecar: Running) -> AsyncIterator[Callable[..., Any]]:
    """A client of the shared port: `call(destination, path)` is status, attempts and refusal of one request."""
    async with aiohttp.ClientSession() as session:

        async def call(name: str, path: str = "/") -> tuple[int, str | None, str | None]:
            async with session.get(sidecar.egress + path, headers={"Host": name}) as answer:
                await answer.read()
                words = answer.headers
                return answer.status, words.get("x-sidecar-attempts"), words.get("x-sidecar-refusal")

        yield call


async def answering_by_path(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(response(503 if "/bad" in request.line else 200))


STATE = {
    "defaults": {
        "budget": {"ratio": 0, "window": "5m", "min_retries": 1},
        "retry": {"max_attempts": 2, "backoff": {"base": "1ms", "max": "1ms"}},
    },
    "destinations": {
        "ledger": {
            "retry": {"max_attempts": 1},
            "breaker": {"consecutive_failures": 1, "open": "5m", "max_open": "5m", "hold": "0s"},
        }
    },
}


def stated(timeout: int) -> dict[str, object]:
    """STATE, each time with another number, so that each version is another policy."""
    return {**STATE, "defaults": {**STATE["defaults"], "timeout": f"{timeout}s", "idle_timeout": f"{timeout}s"}}


async def test_what_it_knows_outlives_twenty_swaps_and_every_other_way_to_change_a_file(tmp_path: Path) -> None:
    """The budget stays spent, the breaker open, what is in flight counted, connections kept, and no request fails."""
    volume = Volume(tmp_path)
    held = asyncio.Event()

    async def holding(request: Request, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.write(response(200))

    async with Origin(replying(response(200))) as steady, Origin(answering_by_path) as frail, Origin(holding) as slow:
        endpoints = {"steady": steady, "spent": frail, "ledger": frail, "slow": slow}
        entries = {
            name: {"hosts": [name], "endpoints": [f"http://127.0.0.1:{origin.port}"]}
            for name, origin in endpoints.items()
        }
        with running(tmp_path, entries, stated(100)) as sidecar:
            async with calling(sidecar) as call:
                seen: list[tuple[int, str | None, str | None]] = []

                async def drive() -> None:
                    while True:
                        seen.append(await call("steady"))

                spending = await call("spent", "/bad")
                tripping = await call("ledger", "/bad")
                waiting = asyncio.create_task(call("slow"))
                load = asyncio.create_task(drive())
                torn = set()
                for version in range(2, 2 + SWAPS):
                    volume.swap(policy(version, stated(version + 100)))
                    view = await until(sidecar, has_version(version))
                    numbers = view["destinations"]["steady"]
                    torn |= {(version, numbers[name]["value"]) for name in ("timeout", "idle_timeout")}
                draft = tmp_path / ".policy.yaml.swp"
                draft.write_text(policy(30, stated(130)))
                draft.replace(tmp_path / "policy.yaml")
                await until(sidecar, has_version(30))
                (tmp_path / "policy.yaml").write_text(policy(31, {"budgit": 1}))
                await until(sidecar, is_refused("budgit: is not known"))
                (tmp_path / "policy.yaml").unlink()
                await until(sidecar, is_refused("No such file or directory"))
                (tmp_path / "policy.yaml").write_text(policy(32, stated(132)))
                last = await until(sidecar, has_version(32))
                views = await destinations(sidecar)
                spent, refused = await call("spent", "/bad"), await call("ledger")
                held.set()
                slow_answer = await waiting
                load.cancel()
                await asyncio.gather(load, return_exceptions=True)
            metrics = sidecar.get("/metrics")

    assert torn == {(version, f"{version + 100}s") for version in range(2, 2 + SWAPS)}
    assert {status for status, _, _ in seen} == {200}
    assert len(seen) > 100
    assert steady.connections == 1
    assert (spending, spent) == ((503, "2", "attempts_exhausted"), (503, "1", "budget_exhausted"))
    assert (tripping[0], refused) == (503, (503, None, "breaker_open"))
    assert views["ledger"]["breaker"]["state"] == "open"
    assert views["slow"]["concurrency"]["in_flight"] in {1, 2}  # late by now, with its retry beside it or not
    assert sum(views["spent"]["retries_by_cause"].values()) == 1
    assert slow_answer[0] == 200
    assert (last["reload"]["failed"], last["reload"]["succeeded"]) == (2, SWAPS + 2)
    assert 'sidecar_policy_reloads_total{result="failure"} 2\n' in metrics


async def test_an_exchange_ends_by_the_policy_it_began_with(tmp_path: Path) -> None:
    """It waits for a second, as Retry-After says; meanwhile a policy comes in that knows no retries."""
    (tmp_path / "policy.yaml").write_text("")
    begun = asyncio.Event()

    async def first_asks_to_wait(request: Request, writer: asyncio.StreamWriter) -> None:
        begun.set()
        first = request.header("x-retry-attempt") is None
        writer.write(response(503, b"", "Retry-After: 1") if first else response(200))

    async with Origin(first_asks_to_wait) as origin:
        with running(tmp_path, {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}}) as sidecar:
            async with calling(sidecar) as call:
                old = asyncio.create_task(call("payments"))
                await begun.wait()
                (tmp_path / "policy.yaml").write_text(policy(2, {"defaults": {"retry": {"max_attempts": 1}}}))
                async with (
                    aiohttp.ClientSession() as session,
                    session.post(f"{sidecar.admin}/policy/reload", headers=sidecar.bearer) as answer,
                ):
                    reloaded = await answer.json()
                still_waiting = not old.done()
                new = await call("payments")
                finished = await old

    assert (reloaded["ok"], reloaded["version"], still_waiting) == (True, 2, True)
    assert new[:2] == (503, "1")
    assert finished[:2] == (200, "2")


def may_mount() -> bool:
    command = ["unshare", "--mount", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="mounting needs privileges that not everybody has")
async def test_a_file_that_is_mounted_by_itself_is_warned_of_and_read_in_place_when_asked(tmp_path: Path) -> None:
    """What a subPath mount is. A kubelet never writes it; whoever does, writes in place and asks for a reload."""
    real = tmp_path / "policy-of-the-day.yaml"
    real.write_text(policy(1))
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    mounted = tmp_path / "policy.yaml"
    command = ("unshare", "--mount", "sh", "-c", script, "sh", str(real), str(mounted), sys.executable, "-m", "sidecar")
    async with Origin(replying(response(200))) as origin:
        entries = {"payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"]}}
        with running(tmp_path, entries, command=command, environment=dict(os.environ)) as sidecar:
            ready = json.loads(sidecar.get("/readyz"))
            with real.open("r+") as stream:
                stream.write(policy(2, {"defaults": {"timeout": "7s"}}))
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{sidecar.admin}/policy/reload", headers=sidecar.bearer) as answer,
            ):
                reloaded = await answer.json()
            lines = sidecar.lines("policy_warning")

    words = f"{mounted} is mounted by itself (subPath?) and will never be updated: mount its directory"
    assert ready["ready"] is True
    assert words in ready["warnings"]
    assert [line["warning"] for line in lines] == [words]
    assert (reloaded["ok"], reloaded["version"]) == (True, 2)


def test_a_pod_that_is_restarted_at_night_does_not_die_because_an_exception_ran_out_the_evening_before(
    tmp_path: Path,
) -> None:
    today = datetime.now(UTC).date()
    exception = {
        "id": "EX-1",
        "service": "checkout",
        "destination": "ledger",
        "setting": "budget.ratio",
        "value": 0.35,
        "reason": "Month-end batch with headroom",
        "ticket": "PAY-812",
        "owner": "team-payments",
        "approved_by": ["a.lee"],
        "not_before": str(today - timedelta(days=10)),
        "expires": str(today),
    }
    asked = {"timeout": "3s", "budget": {"ratio": 0.35}}
    entries = {"ledger": {"endpoints": ["http://127.0.0.1:1"], "overrides": asked}}

    with running(tmp_path, entries, {"exceptions": [exception]}) as sidecar:
        ready = json.loads(sidecar.get("/readyz"))
        numbers = json.loads(sidecar.get("/policy"))["destinations"]["ledger"]
        metrics = sidecar.get("/metrics")
        told = sidecar.lines("override_left_out")
    check = [sys.executable, "-m", "sidecar", "policy", "check", str(tmp_path)]
    refused = subprocess.run(check, capture_output=True, text=True, timeout=20)

    reason = f"exception EX-1 ({tmp_path}/policy.yaml:1) expired on {today}, got 0.35"
    assert ready["ready"] is True
    assert [warning for warning in ready["warnings"] if warning.endswith(reason)]
    assert (numbers["timeout"]["value"], numbers["budget.ratio"]["value"]) == ("3s", "0.1")
    assert 'sidecar_policy_overrides_left_out{destination="ledger"} 1\n' in metrics
    assert [(line["level"], line["finding"].endswith(reason)) for line in told] == [("error", True)]
    assert refused.returncode == 1
    assert reason in refused.stdout
