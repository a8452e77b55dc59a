"""What the process says of itself agrees with what happened."""

import json
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from msgspec.structs import replace

from sidecar.app.state import UNMANAGED
from sidecar.governance.policy.authority import authority_from
from sidecar.telemetry.metrics_source import ExceptionLife
from tests.app.processes import address_of, running, snapshot_for, under_an_exception
from tests.fakes.origin import Origin, replying, response


async def test_metrics_agree_with_what_the_dependency_counted(tmp_path: Path) -> None:
    async with Origin(replying(response(503), response(200))) as origin:
        async with running(snapshot_for(origin.port), tmp_path) as sidecar, aiohttp.ClientSession() as session:
            for _ in range(5):
                async with session.get(address_of(sidecar)) as answer:
                    assert answer.status == 200
            destination = sidecar.state.destinations["payments"]

    assert destination.tally.attempts_total == len(origin.requests) == 6
    assert destination.tally.requests_total == 5


async def test_the_policy_view_tells_where_each_number_is_from(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin, running(snapshot_for(origin.port), tmp_path) as sidecar:
        view = json.loads(json.dumps(sidecar.state.policy_view()))

    assert view["destinations"]["payments"]["budget.ratio"]["source"] == "baseline"


async def test_uses_of_an_exception_are_the_requests_it_governed(tmp_path: Path) -> None:
    now = [datetime(2026, 12, 4, tzinfo=UTC)]
    async with Origin(replying(response(200))) as origin, aiohttp.ClientSession() as session:
        async with under_an_exception(origin.port, tmp_path, lambda: now[0]) as sidecar:
            for day in (4, 5):
                now[0] = datetime(2026, 12, day, tzinfo=UTC)
                sidecar.state.policy_view()
                for _ in range(day):
                    async with session.get(address_of(sidecar), headers={"host": "payments"}):
                        pass
            lives = sidecar.state.exceptions

    assert lives == [ExceptionLife("EX-1", datetime(2026, 12, 5, tzinfo=UTC).timestamp(), 4)]


async def test_who_names_the_policy_is_told(tmp_path: Path) -> None:
    snapshot = snapshot_for(1)
    (tmp_path / "authority.yaml").write_text("policy: {file: policy.yaml}\n", encoding="utf-8")
    authority = authority_from(tmp_path / "authority.yaml", (tmp_path / "authority.yaml").read_bytes())
    bootstrap = replace(snapshot.documents.bootstrap, authority=authority)
    under_one = replace(snapshot, documents=replace(snapshot.documents, bootstrap=bootstrap))

    async with running(snapshot, tmp_path) as alone:
        unmanaged = alone.state.warnings(), alone.state.standing.managed, alone.state.policy_view()["authority"]
    async with running(under_one, tmp_path) as governed:
        managed = governed.state.warnings(), governed.state.standing.managed, governed.state.policy_view()["authority"]

    assert unmanaged == ([UNMANAGED, *snapshot.warnings], False, "unmanaged")
    assert managed == ([*snapshot.warnings], True, "managed")
