"""The composition root, in the test's own loop."""

import asyncio
import errno
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from sidecar.app import Sidecar
from sidecar.governance.documents.finding import Finding, InvalidDocument
from sidecar.governance.loading.loader import PolicyLoader
from sidecar.governance.policy.ingress import INGRESS_BASELINE
from sidecar.governance.policy.snapshot import IngressSnapshot, Snapshot, from_flags
from sidecar.net import Address, Endpoint
from sidecar.telemetry.log import Format, Level, Log
from sidecar.telemetry.subject import ExceptionLife
from tests.fakes.certificates import HOST, server_context
from tests.fakes.documents import EXCEPTION, NOW, OVERRIDE, POLICY, SIDECAR
from tests.fakes.loops import on_uvloop
from tests.fakes.origin import Origin, replying, response
from tests.fakes.policies import Shelf, loaded


def snapshot_for(port: int, *, timeout: float = 5.0, digest: str = "a") -> Snapshot:
    snapshot = from_flags("checkout", [f"payments=http://127.0.0.1:{port}"], "127.0.0.1:0", None, NOW)
    destinations = {
        name: replace(destination, policy=replace(destination.policy, timeout=timeout))
        for name, destination in snapshot.destinations.items()
    }
    return replace(snapshot, admin=Address("127.0.0.1", 0), destinations=destinations, digest=digest)


@asynccontextmanager
async def running(first: Snapshot, tmp_path: Path, shelf: Shelf | None = None) -> AsyncIterator[Sidecar]:
    """A sidecar under `first`; what it loads later lies on the shelf."""
    begin = loaded(first)
    with (tmp_path / "log").open("wb") as file:
        log = Log(Format.JSON, Level.INFO, file.fileno())
        sidecar = Sidecar(shelf or Shelf([begin]), begin, log)
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
        async with running(snapshot_for(origin.port), tmp_path) as sidecar, aiohttp.ClientSession() as session:
            for _ in range(5):
                async with session.get(address_of(sidecar)) as answer:
                    assert answer.status == 200
            destination = sidecar.destinations["payments"]

    assert destination.tally.attempts_total == len(origin.requests) == 6
    assert destination.tally.requests_total == 5


async def test_a_reload_keeps_the_state_and_a_broken_one_keeps_the_policy(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin:
        shelf = Shelf([])
        async with running(snapshot_for(origin.port), tmp_path, shelf) as sidecar, aiohttp.ClientSession() as session:
            async with session.get(address_of(sidecar)):
                pass
            before = sidecar.destinations["payments"]
            shelf.loads.append(loaded(snapshot_for(origin.port, timeout=7.0, digest="b")))
            good = await sidecar.reload()
            shelf.loads.append(
                InvalidDocument([Finding("policy.yaml", 4, "defaults.timeout", "must be a duration", "7")])
            )
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
            async with running(snapshot, tmp_path):
                pass


async def test_the_policy_view_tells_where_each_number_is_from(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin, running(snapshot_for(origin.port), tmp_path) as sidecar:
        view = json.loads(json.dumps(sidecar.policy_view()))

    assert view["destinations"]["payments"]["budget.ratio"]["source"] == "baseline"


async def test_endpoints_that_change_over_a_reload_are_called_from_then_on_by_their_own_name(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as one, Origin(replying(response(200))) as two:
        shelf = Shelf([])
        async with running(snapshot_for(one.port), tmp_path, shelf) as sidecar, aiohttp.ClientSession() as session:
            async with session.get(address_of(sidecar)):
                pass
            shelf.loads.append(loaded(snapshot_for(two.port, digest="b")))
            await sidecar.reload()
            async with session.get(address_of(sidecar)):
                pass

    assert len(one.requests) == len(two.requests) == 1
    assert two.requests[0].header("host") == f"127.0.0.1:{two.port}"


# Exceptions


@asynccontextmanager
async def under_an_exception(port: int, tmp_path: Path, wall: Callable[[], datetime]) -> AsyncIterator[Sidecar]:
    """`payments` may spend 0.35 of its requests on retries while EX-1 is live."""
    document = SIDECAR.replace("http://payments:8080", f"http://127.0.0.1:{port}") + OVERRIDE
    document += 'admin: {listen: "127.0.0.1:0"}\negress: {listen: ["127.0.0.1:0"]}\n'
    (tmp_path / "sidecar.yaml").write_text(document, encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(POLICY + EXCEPTION, encoding="utf-8")
    loader = PolicyLoader(tmp_path / "sidecar.yaml", "pod", wall=wall)
    first = await loader.first(strict=True)
    (tmp_path / "policy.yaml").unlink()
    with (tmp_path / "log").open("wb") as file:
        log = Log(Format.JSON, Level.INFO, file.fileno())
        sidecar = Sidecar(loader, first, log, wall)
        await sidecar.start()
        try:
            yield sidecar
        finally:
            await sidecar.close()
            log.close()
            await asyncio.sleep(0.01)


def clock_from(begin: datetime) -> Callable[[], datetime]:
    """A wall clock that shows `begin` now."""
    zero = time.monotonic()
    return lambda: begin + timedelta(seconds=time.monotonic() - zero)


@pytest.mark.parametrize(
    ("instant", "before", "after", "word"),
    [
        (datetime(2026, 12, 5, tzinfo=UTC), 0.35, 0.1, "exception_ended"),
        (datetime(2026, 11, 24, tzinfo=UTC), 0.1, 0.35, "exception_begun"),
    ],
)
async def test_a_guardrail_comes_and_goes_at_the_very_instant_without_a_document_being_read(
    tmp_path: Path, instant: datetime, before: float, after: float, word: str
) -> None:
    wall = clock_from(instant - timedelta(seconds=0.3))
    async with Origin(replying(response(200))) as origin:
        async with under_an_exception(origin.port, tmp_path, wall) as sidecar:
            destination = sidecar.destinations["payments"]
            first = destination.policy.budget.ratio
            while destination.policy.budget.ratio == first and wall() < instant + timedelta(seconds=5):
                await asyncio.sleep(0.001)
            late = (wall() - instant).total_seconds()
            reloads = sidecar.reloads

    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    told = [line for line in lines if line["event"] == word]
    assert (first, destination.policy.budget.ratio) == (before, after)
    assert 0 <= late < 0.2
    assert (reloads.succeeded, reloads.failed) == (0, 0)
    assert [(line["exception"], line["numbers"]) for line in told] == [
        ("EX-1", [f"payments budget.ratio {before} -> {after}"])
    ]


async def test_whoever_asks_at_the_instant_is_told_what_holds_from_it_on(tmp_path: Path) -> None:
    """Even when the loop has not come to its timer yet."""
    now = [datetime(2026, 12, 4, 23, 59, 59, tzinfo=UTC)]
    async with Origin(replying(response(200))) as origin:
        async with under_an_exception(origin.port, tmp_path, lambda: now[0]) as sidecar:
            last = json.loads(json.dumps(sidecar.policy_view()))
            now[0] += timedelta(seconds=1)
            after = json.loads(json.dumps(sidecar.policy_view()))

    ratios = [view["destinations"]["payments"]["budget.ratio"] for view in (last, after)]
    assert ratios[0] == {
        "value": "0.35",
        "source": "exception",
        "place": f"{tmp_path}/sidecar.yaml:7",
        "exception": "EX-1",
    }
    assert ratios[1] == {"value": "0.1", "source": "baseline", "place": "built in"}
    states = [(view["exceptions"][0]["state"], view["exceptions"][0]["remaining_seconds"]) for view in (last, after)]
    assert states == [("live", 1.0), ("expired", 0.0)]


async def test_an_exception_that_is_over_is_absent_when_the_documents_are_read_again(tmp_path: Path) -> None:
    now = [datetime(2026, 12, 4, tzinfo=UTC)]
    async with Origin(replying(response(200))) as origin:
        async with under_an_exception(origin.port, tmp_path, lambda: now[0]) as sidecar:
            (tmp_path / "policy.yaml").write_text(POLICY + EXCEPTION, encoding="utf-8")
            live = await sidecar.reload()
            now[0] += timedelta(days=1)
            over = await sidecar.reload()
            ratio = sidecar.destinations["payments"].policy.budget.ratio
            told, counted = sidecar.warnings(), sidecar.left_out

    assert (live.ok, live.left_out, over.ok) == (True, [], True)
    assert [finding["rule"] for finding in over.left_out] == [
        f"must be at most 0.2 (guardrail, built in); exception EX-1 ({tmp_path}/policy.yaml:4) expired on 2026-12-05"
    ]
    assert ratio == 0.1
    assert counted == {"payments": 1}
    assert [line for line in told if line.startswith("left out: ") and "expired on 2026-12-05" in line]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert [line["level"] for line in lines if line["event"] == "override_left_out"] == ["error"]


async def test_uses_of_an_exception_are_the_requests_it_governed(tmp_path: Path) -> None:
    now = [datetime(2026, 12, 4, tzinfo=UTC)]
    async with Origin(replying(response(200))) as origin, aiohttp.ClientSession() as session:
        async with under_an_exception(origin.port, tmp_path, lambda: now[0]) as sidecar:
            for day in (4, 5):
                now[0] = datetime(2026, 12, day, tzinfo=UTC)
                sidecar.policy_view()
                for _ in range(day):
                    async with session.get(address_of(sidecar), headers={"host": "payments"}):
                        pass
            lives = sidecar.exceptions

    assert lives == [ExceptionLife("EX-1", datetime(2026, 12, 5, tzinfo=UTC).timestamp(), 4)]


async def test_it_is_called_by_ipv6_as_by_ipv4(tmp_path: Path) -> None:
    both = (Address("127.0.0.1", 0), Address("::1", 0))
    async with Origin(replying(response(200))) as origin:
        snapshot = snapshot_for(origin.port)
        payments = replace(snapshot.destinations["payments"], listen=both)
        snapshot = replace(snapshot, destinations={"payments": payments})
        async with running(snapshot, tmp_path) as sidecar, aiohttp.ClientSession() as session:
            statuses = {}
            for listener in sidecar._listeners.values():
                async with session.get(f"http://{listener.address}/") as answer:
                    statuses[listener.address.host] = answer.status

    assert statuses == {"127.0.0.1": 200, "::1": 200}


@pytest.fixture
def no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which IPv6 is switched off, as many containers' is."""
    real = socket.socket.bind

    def bind(sock: socket.socket, address: tuple[object, ...]) -> None:
        if sock.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        real(sock, address)

    monkeypatch.setattr(socket.socket, "bind", bind)


@pytest.mark.usefixtures("no_ipv6")
@pytest.mark.parametrize("shared", [True, False])
async def test_where_there_is_no_ipv6_it_listens_without_and_says_so(tmp_path: Path, *, shared: bool) -> None:
    both = (Address("::1", 0), Address("127.0.0.1", 0))
    async with Origin(replying(response(200))) as origin:
        snapshot = snapshot_for(origin.port)
        if shared:
            snapshot = replace(snapshot, egress=replace(snapshot.egress, listen=both))
        else:
            payments = replace(snapshot.destinations["payments"], listen=both)
            snapshot = replace(snapshot, destinations={"payments": payments})
        shelf = Shelf([loaded(replace(snapshot, digest="b"))])
        async with running(snapshot, tmp_path, shelf) as sidecar:
            listening = set(sidecar._listeners)
            await sidecar.reload()
        log = (tmp_path / "log").read_text()

    assert both[1] in listening
    assert both[0] not in listening
    assert '"event":"not_listening","address":"[::1]:0"' in log
    assert "can not listen on [::1]:0: Cannot assign requested address" in log
    assert "restart_needed" not in log


@pytest.mark.usefixtures("no_ipv6")
async def test_an_ipv6_address_that_stands_alone_is_missed(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin:
        snapshot = snapshot_for(origin.port)
        payments = replace(snapshot.destinations["payments"], listen=(Address("::1", 0),))
        with pytest.raises(OSError, match=r"\[::1\]:0: Cannot assign"):
            async with running(replace(snapshot, destinations={"payments": payments}), tmp_path):
                pass


async def test_an_ingress_that_is_taken_away_is_closed_and_never_a_way_out(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as app, Origin(replying(response(200))) as origin:
        plain = snapshot_for(origin.port)
        ingress = IngressSnapshot(
            Address("127.0.0.1", 0),
            Endpoint("http", "127.0.0.1", app.port),
            INGRESS_BASELINE.policy,
            {},
            INGRESS_BASELINE,
        )
        plain = replace(plain, egress=replace(plain.egress, listen=()))
        payments = replace(plain.destinations["payments"], listen=())
        plain = replace(plain, destinations={"payments": payments})
        shelf = Shelf([loaded(replace(plain, digest="b"))])
        begin = replace(plain, ingress=ingress)
        async with running(begin, tmp_path, shelf) as sidecar, aiohttp.ClientSession() as session:
            url = address_of(sidecar)
            async with session.get(url) as answer:
                before = answer.status
            await sidecar.reload()
            with pytest.raises(aiohttp.ClientError):
                async with session.get(f"{url}/x", headers={"Host": "payments"}):
                    pass

    assert before == 200
    assert len(app.requests) == 1
    assert origin.requests == []


@on_uvloop
async def test_at_the_end_of_an_exception_no_connection_made_without_verification_is_used_again(tmp_path: Path) -> None:
    now = [datetime(2026, 12, 4, tzinfo=UTC)]
    leave = EXCEPTION.replace("budget.ratio", "tls.verify").replace("0.35", "false")
    async with Origin(replying(response(200)), server_context()) as origin:
        document = SIDECAR.replace("http://payments:8080", f"https://{HOST}:{origin.port}")
        document += "    overrides: {tls: {verify: false}}\n    listen: '127.0.0.1:0'\n"
        document += "admin: {listen: '127.0.0.1:0'}\negress: {listen: []}\n"
        (tmp_path / "sidecar.yaml").write_text(document, encoding="utf-8")
        (tmp_path / "policy.yaml").write_text(POLICY + leave, encoding="utf-8")
        loader = PolicyLoader(tmp_path / "sidecar.yaml", "pod", wall=lambda: now[0])
        first = await loader.first(strict=True)
        with (tmp_path / "log").open("wb") as file:
            log = Log(Format.JSON, Level.INFO, file.fileno())
            sidecar = Sidecar(loader, first, log, lambda: now[0])
            await sidecar.start()
            try:
                async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
                    statuses = []
                    for _ in range(3):
                        async with session.get(address_of(sidecar)) as answer:
                            statuses.append(answer.status)
                    connections = origin.connections
                    now[0] = datetime(2026, 12, 5, tzinfo=UTC)
                    sidecar.policy_view()  # whoever asks is told what holds now
                    async with session.get(address_of(sidecar)) as answer:
                        problem = await answer.text()
            finally:
                await sidecar.close()
                log.close()
                await asyncio.sleep(0.01)

    assert statuses == [200] * 3
    assert connections == 1
    assert '"reason":"tls_unknown_ca"' in problem
    assert len(origin.requests) == 3
    assert any("certificates are not verified" in warning for warning in first.snapshot.warnings)
