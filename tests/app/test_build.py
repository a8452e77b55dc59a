"""Routes and listeners follow the snapshot in force."""

import errno
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from sidecar.app import Sidecar
from sidecar.engine.outcome import Result
from sidecar.engine.shadow import Difference
from sidecar.governance.loading.loader import PolicyLoader
from sidecar.governance.policy.bootstrap import from_file
from sidecar.governance.policy.delivery import Delivery
from sidecar.governance.policy.ingress import INGRESS_BASELINE
from sidecar.governance.policy.snapshot import IngressSnapshot, compiled
from sidecar.net import Address, Endpoint
from sidecar.telemetry.log import Format, Log, LogLevel
from tests.app.processes import address_of, running, snapshot_for
from tests.fakes.certificates import HOST, server_context
from tests.fakes.documents import EXCEPTION, NOW, POLICY, SIDECAR
from tests.fakes.loops import on_uvloop
from tests.fakes.origin import Origin, replying, response
from tests.fakes.policies import Shelf, loaded
from tests.fakes.waiting import turn


async def test_endpoints_that_change_over_a_reload_are_called_from_then_on_by_their_own_name(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as one, Origin(replying(response(200))) as two:
        shelf = Shelf([])
        async with running(snapshot_for(one.port), tmp_path, shelf) as sidecar, aiohttp.ClientSession() as session:
            async with session.get(address_of(sidecar)):
                pass
            shelf.loads.append(loaded(snapshot_for(two.port, digest="b")))
            await sidecar.policy.reload()
            async with session.get(address_of(sidecar)):
                pass

    assert len(one.requests) == len(two.requests) == 1
    assert two.requests[0].header("host") == f"127.0.0.1:{two.port}"


async def test_it_is_called_by_ipv6_as_by_ipv4(tmp_path: Path) -> None:
    both = (Address("127.0.0.1", 0), Address("::1", 0))
    async with Origin(replying(response(200))) as origin:
        snapshot = snapshot_for(origin.port)
        payments = replace(snapshot.destinations["payments"], listen=both)
        snapshot = replace(snapshot, destinations={"payments": payments})
        async with running(snapshot, tmp_path) as sidecar, aiohttp.ClientSession() as session:
            statuses = {}
            for listener in sidecar.route_table.listeners.values():
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
            listening = set(sidecar.route_table.listeners)
            await sidecar.policy.reload()
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
            await sidecar.policy.reload()
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
            log = Log(Format.JSON, LogLevel.INFO, file.fileno())
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
                    sidecar.state.policy_view()  # whoever asks is told what holds now
                    async with session.get(address_of(sidecar)) as answer:
                        problem = await answer.text()
            finally:
                await sidecar.close()
                log.close()
                await turn(5)

    assert statuses == [200] * 3
    assert connections == 1
    assert '"reason":"tls_unknown_ca"' in problem
    assert len(origin.requests) == 3
    assert any("certificates are not verified" in warning for warning in first.snapshot.warnings)


ROUTES = """\
    routes:
      - name: reports
        match: {methods: [GET], path: "/reports/{id}"}
        retry: {statuses: [502, 503]}
"""


async def test_a_route_has_settings_of_its_own_and_is_counted_by_its_name(tmp_path: Path) -> None:
    async with Origin(replying(*[response(502), response(200)] * 2)) as origin, aiohttp.ClientSession() as session:
        text = SIDECAR.replace("http://payments:8080", f"http://127.0.0.1:{origin.port}") + ROUTES
        text += 'admin: {listen: "127.0.0.1:0"}\negress: {listen: ["127.0.0.1:0"]}\n'
        snapshot = compiled(from_file(tmp_path / "sidecar.yaml", text.encode(), []), None, [], NOW)
        async with running(snapshot, tmp_path) as sidecar:
            answers = []
            for path in ("/reports/7?full=1", "/reports/7/pages"):
                async with session.get(address_of(sidecar) + path, headers={"host": "payments"}) as answer:
                    answers.append((answer.status, answer.headers.get("x-sidecar-attempts")))
            (counted,) = sidecar.state.routes["payments"]

    assert answers == [(200, "2"), (502, "1")]
    assert (counted.name, counted.requests[Result.SUCCESS], sum(counted.requests), counted.attempts) == (
        "reports",
        1,
        1,
        2,
    )


async def test_a_policy_that_is_observed_does_nothing_and_counts_what_it_would_have_done(tmp_path: Path) -> None:
    answers = [response(503), *[response(200)] * 3, *[response(503)] * 60]
    async with Origin(replying(*answers)) as origin, aiohttp.ClientSession() as session:
        text = SIDECAR.replace("http://payments:8080", f"http://127.0.0.1:{origin.port}")
        text += 'admin: {listen: "127.0.0.1:0"}\negress: {listen: ["127.0.0.1:0"]}\n'
        policy = Delivery("policy.yaml", (POLICY + "defaults: {mode: observe}\n").encode())
        snapshot = compiled(from_file(tmp_path / "sidecar.yaml", text.encode(), []), policy, [], NOW)
        async with running(snapshot, tmp_path) as sidecar:
            met = []
            for _ in range(len(answers)):
                async with session.get(address_of(sidecar), headers={"host": "payments"}) as answer:
                    met.append((answer.status, answer.headers.get("x-sidecar-refusal")))
            observed = sidecar.state.observations["payments"]
            dry_runs = sidecar.state.shadows

    assert met == [(503, None), *[(200, None)] * 3, *[(503, None)] * 60]
    assert len(origin.requests) == len(answers)
    assert observed.differences[Difference.RETRY] >= 1
    assert observed.refused + observed.differences[Difference.HOLD] > 10
    assert dry_runs == {}
