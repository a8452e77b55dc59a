"""Everybody who tells the numbers of one `sidecar run` tells the same ones: page, top, report, metrics, the dependency.

During the storm of the demo they are held against each other in test_demo.py, while all of them rise.
"""

import asyncio
import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sidecar.cli.report import report
from tests.admin.shown import Look, chromium
from tests.fakes.origin import Origin, replying, response
from tests.fakes.running import COMMAND, Running, running

CALLS = 60
PATIENCE = 30.0


@dataclass
class Told:
    """What each of them says, when the traffic is over."""

    arrived: int
    metrics: dict[str, float]
    json: dict[str, Any]
    page: str
    top: dict[str, Any]
    screen: str
    report: str
    piped: str


def counted(text: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, value in re.findall(r'^(sidecar_\w+)\{destination="payments"[^}]*\} (\S+)$', text, re.MULTILINE):
        sums[name] = sums.get(name, 0.0) + float(value)
    return sums


def command(sidecar: Running, *arguments: str) -> str:
    argv = [*COMMAND, *arguments, "--admin", sidecar.admin.removeprefix("http://")]
    return subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def look_at_all(sidecar: Running, arrived: int, folder: Path) -> Told:
    with chromium() as browser:
        page = Look(browser.new_page()).open(f"{sidecar.admin}/").text("body").replace(",", "")
    file = folder / "incident.html"
    written = command(sidecar, "report", "-10m", "now", "-o", str(file))
    assert written == f"written to {file}\n"
    (of_json,) = json.loads(sidecar.get("/?format=json"))["destinations"]
    (of_top,) = json.loads(command(sidecar, "top", "--json"))["destinations"]
    return Told(
        arrived,
        counted(sidecar.get("/metrics")),
        of_json,
        page,
        of_top,
        command(sidecar, "top", "--once"),
        file.read_text(),
        command(sidecar, "report", "-o", "-"),
    )


async def until_a_row_has_it(sidecar: Running) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            document = json.loads(await asyncio.to_thread(sidecar.get, "/?format=json"))
            (payments,) = document["destinations"]
            rows = document["history"]["series"].get("payments", {"requests": []})["requests"]
            if sum(rows) == payments["requests"] == CALLS:
                return
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("told")

    async def story() -> Told:
        answers = [response(503 if number % 4 == 0 else 200) for number in range(2 * CALLS)]
        async with Origin(replying(*answers)) as origin:
            endpoint = {"endpoints": [f"http://127.0.0.1:{origin.port}"]}
            with running(folder, {"payments": endpoint}) as sidecar:
                for _ in range(CALLS):
                    await asyncio.to_thread(call, sidecar.url)
                await until_a_row_has_it(sidecar)
                return await asyncio.to_thread(look_at_all, sidecar, len(origin.requests), folder)

    return asyncio.run(story())


def call(url: str) -> None:
    with suppress(urllib.error.HTTPError):
        urllib.request.urlopen(url, timeout=10).close()


def test_all_of_them_counted_the_same_requests(told: Told) -> None:
    assert told.metrics["sidecar_requests_total"] == CALLS
    assert told.json["requests"] == told.top["requests"] == CALLS
    assert f"Since the start: {CALLS} requests " in told.page
    assert f" of {CALLS} requests" in told.report


def test_all_of_them_counted_the_attempts_that_arrived(told: Told) -> None:
    assert CALLS < told.arrived < 1.3 * CALLS
    assert told.metrics["sidecar_attempts_total"] == told.arrived
    assert told.json["attempts"] == told.top["attempts"] == told.arrived
    assert f"{CALLS} requests {told.arrived} attempts" in told.page
    assert f"instead of {told.arrived}<" in told.report


def test_all_of_them_counted_the_same_refusals_and_failures(told: Told) -> None:
    refused = told.metrics["sidecar_retry_refusals_total"]
    served = sum(told.json["requests_by_outcome"][word] for word in ("success", "client_error"))
    held_back = {reason: count for reason, count in told.json["refusals"].items() if count}

    assert sum(told.top["refusals"].values()) == sum(held_back.values()) == refused > 0
    assert held_back.keys() == {"budget_exhausted"}
    assert f"budget_exhausted {refused:.0f}" in " ".join(told.page.split())
    assert "budget_exhausted" in told.screen
    assert f">{CALLS - served} of {CALLS} requests<" in told.report
    assert f"held back {refused:.0f} attempts, by budget" in " ".join(re.sub("<[^>]+>", " ", told.report).split())


def test_a_report_into_a_pipe_is_the_page_of_the_last_fifteen_minutes(told: Told) -> None:
    assert told.piped.startswith("<!doctype html>")
    assert f" of {CALLS} requests" in told.piped
    assert "://" not in told.piped.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["yesterday", "now"], "must be now, a duration ago like -10m, or a time like"),
        (["2026-13-40T00:00:00Z"], "got '2026-13-40T00:00:00Z'"),
        (["0001-01-01"], "'0001-01-01'"),
        (["9999-12-31T23:59:59-12:00"], "FROM must be before TO"),
        (["-1m", "-5m"], "FROM must be before TO"),
        (["now", "now"], "FROM must be before TO, by a second or more"),
        ([""], "got ''"),
        (["-"], "got '-'"),
        (["1e9"], "got '1e9'"),
    ],
)
def test_times_without_sense_are_one_clear_message_and_code_2(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(report, [*arguments, "--admin", "127.0.0.1:9", "-o", "-"])

    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert (result.stdout, type(result.exception)) == ("", SystemExit)


def test_a_range_of_before_the_sidecar_began_is_said_with_what_there_is(tmp_path: Path) -> None:
    with running(tmp_path, {"payments": {"endpoints": ["http://127.0.0.1:9"]}}) as sidecar:
        wait_until_kept(sidecar)
        argv = [*COMMAND, "report", "-2h", "-1h", "--admin", sidecar.admin.removeprefix("http://")]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=tmp_path)

    assert (ran.returncode, ran.stdout) == (2, "")
    assert re.fullmatch(
        r"sidecar report: http://\S+/ has nothing of that time: it has kept \S+ to \S+\n",
        ran.stderr,
    )
    assert not (tmp_path / "incident.html").exists()


def wait_until_kept(sidecar: Running) -> None:
    until = time.monotonic() + PATIENCE
    while not json.loads(sidecar.get("/?format=json"))["history"]["times"]:
        assert time.monotonic() < until
        time.sleep(0.05)
