"""A reload, and an exception that begins or ends, change what is in force and no state."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from sidecar.governance.documents.finding import Finding, InvalidDocument
from tests.app.processes import address_of, running, snapshot_for, under_an_exception
from tests.fakes.documents import EXCEPTION, POLICY
from tests.fakes.origin import Origin, replying, response
from tests.fakes.policies import Shelf, loaded
from tests.fakes.waiting import until


async def test_a_reload_keeps_the_state_and_a_broken_one_keeps_the_policy(tmp_path: Path) -> None:
    async with Origin(replying(response(200))) as origin:
        shelf = Shelf([])
        async with running(snapshot_for(origin.port), tmp_path, shelf) as sidecar, aiohttp.ClientSession() as session:
            async with session.get(address_of(sidecar)):
                pass
            before = sidecar.state.destinations["payments"]
            shelf.loads.append(loaded(snapshot_for(origin.port, timeout=7.0, digest="b")))
            good = await sidecar.policy.reload()
            shelf.loads.append(
                InvalidDocument([Finding("policy.yaml", 4, "defaults.timeout", "must be a duration", "7")])
            )
            bad = await sidecar.policy.reload()
            async with session.get(address_of(sidecar)) as answer:
                status = answer.status
            after = sidecar.state.destinations["payments"]
            reloads = sidecar.state.reloads

    assert good.ok
    assert not bad.ok
    assert after is before
    assert after.policy.timeout == 7.0
    assert after.tally.requests_total == 2
    assert status == 200
    assert (reloads.succeeded, reloads.failed) == (1, 1)
    assert "policy.yaml:4" in (reloads.error or "")


def clock_from(begin: datetime) -> Callable[[], datetime]:
    """A wall clock that shows `begin` now, and goes with the event loop."""
    loop = asyncio.get_running_loop()
    zero = loop.time()
    return lambda: begin + timedelta(seconds=loop.time() - zero)


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
            destination = sidecar.state.destinations["payments"]
            first = destination.policy.budget.ratio
            await until(lambda: destination.policy.budget.ratio != first)
            late = (wall() - instant).total_seconds()
            reloads = sidecar.state.reloads

    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    told = [line for line in lines if line["event"] == word]
    assert (first, destination.policy.budget.ratio) == (before, after)
    assert late >= 0
    assert (reloads.succeeded, reloads.failed) == (0, 0)
    assert [(line["exception"], line["numbers"]) for line in told] == [
        ("EX-1", [f"payments budget.ratio {before} -> {after}"])
    ]


async def test_an_exception_that_is_over_is_absent_when_the_documents_are_read_again(tmp_path: Path) -> None:
    now = [datetime(2026, 12, 4, tzinfo=UTC)]
    async with Origin(replying(response(200))) as origin:
        async with under_an_exception(origin.port, tmp_path, lambda: now[0]) as sidecar:
            (tmp_path / "policy.yaml").write_text(POLICY + EXCEPTION, encoding="utf-8")
            live = await sidecar.policy.reload()
            now[0] += timedelta(days=1)
            over = await sidecar.policy.reload()
            ratio = sidecar.state.destinations["payments"].policy.budget.ratio
            told, counted = sidecar.state.warnings(), sidecar.state.left_out

    assert (live.ok, live.left_out, over.ok) == (True, [], True)
    assert [finding["rule"] for finding in over.left_out] == [
        f"must be at most 0.2 (guardrail, built in); exception EX-1 ({tmp_path}/policy.yaml:4) expired on 2026-12-05"
    ]
    assert ratio == 0.1
    assert counted == {"payments": 1}
    assert [line for line in told if line.startswith("left out: ") and "expired on 2026-12-05" in line]
    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert [line["level"] for line in lines if line["event"] == "override_left_out"] == ["error"]
