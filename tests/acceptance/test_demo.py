"""`sidecar demo` with everything real: processes, sockets, the sidecar and its clock."""

import json
import math
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.stage import is_free
from sidecar.net import Address
from sidecar.telemetry.history import ROWS
from sidecar.watch.document import decode
from sidecar.watch.document import fetch as fetch_document
from sidecar.watch.incident import Incident, incidents
from tests.admin.shown import Look, chromium

PATIENCE = 90.0


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sidecar", "demo", "--fast", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    read = ""
    for line in process.stdout:
        read += line
        if words in line:
            return read
    raise AssertionError(f"ended without {words!r}:\n{read}{process.stderr.read() if process.stderr else ''}")


@dataclass(frozen=True)
class Agreement:
    """Attempts and requests of one instant as everybody tells them; the metrics before the others and after them."""

    before: dict[str, float]
    page: dict[str, Any]
    top: dict[str, Any]
    reported: Incident
    arrived: int
    after: dict[str, float]


def metrics(admin: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    sums: dict[str, float] = {}
    for line in lines:
        if line.startswith("sidecar_") and 'destination="payments"' in line:
            name = line.partition("{")[0]
            sums[name] = sums.get(name, 0.0) + float(line.rpartition(" ")[2])
    return sums


def agreement(admin: int) -> Agreement | None:
    """What is said now; None before the first request."""
    url = f"http://127.0.0.1:{admin}/?format=json&seconds=60"
    (payments,) = (one for one in fetch(url)["destinations"] if one["name"] == "payments")
    dependency = payments["endpoints"][0]
    before = metrics(admin)
    page = next(one for one in fetch(url)["destinations"] if one["name"] == "payments")
    arrived = fetch(f"{dependency}/-/state")["arrived"]
    content = fetch_document(Address("127.0.0.1", admin), ROWS)
    top = next(one for one in json.loads(content)["destinations"] if one["name"] == "payments")
    reported = next(iter(incidents(decode(content, "the sidecar"), 0.0, math.inf)), None)  # as sidecar report does
    return Agreement(before, page, top, reported, arrived, metrics(admin)) if reported else None


@dataclass
class Run:
    figures: dict[str, Any]
    output: str
    destinations: dict[str, Any]
    dependency: dict[str, Any]
    troubled: dict[str, Any]
    code: int
    errors: str
    ports: set[int]
    folder: Path
    agreements: list[Agreement]
    said: str
    incident: str


def fetch(url: str, method: str = "GET") -> dict[str, Any]:
    request = urllib.request.Request(url, method=method, data=b"" if method == "POST" else None)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def seen_page(port: int) -> list[str]:
    """All text of the live page, without the commas of its numbers."""
    with chromium() as browser:
        look = Look(browser.new_page()).open(f"http://127.0.0.1:{port}/")
        return [look.text("body").replace(",", "")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One whole run with --keep, looked at and then interrupted."""
    report = tmp_path_factory.mktemp("demo") / "figures.json"
    incident = report.with_name("incident.html")
    process = start("--keep", "--json", str(report), "--incident", str(incident))
    agreements: list[Agreement] = []
    try:
        output = read_until(process, "The live page: ")
        port = int(re.search(r"The live page: http://127\.0\.0\.1:(\d+)/", output)[1])  # type: ignore[index]
        for second in range(3, 14, 2):  # in both troubles and between them
            output += read_until(process, f"{second} s ")
            if (one := agreement(port)) is not None:
                agreements.append(one)
        output += read_until(process, "make trouble again")
        said = "".join(seen_page(port))
        admin, dependency, trouble = (
            re.search(pattern, output)[1]  # type: ignore[index]
            for pattern in (r"(http\S+/destinations)", r"(http\S+/-/state)", r"(http\S+seconds=5)")
        )
        looked_at = fetch(admin), fetch(dependency), fetch(trouble, "POST")
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    return Run(
        json.loads(report.read_text()),
        output + rest,
        *looked_at,
        code=process.returncode,
        errors=errors,
        ports={int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", output)},
        folder=Path(re.search(r"(\S+)/policy\.yaml", output)[1]),  # type: ignore[index]
        agreements=agreements,
        said=said,
        incident=incident.read_text(),
    )


def test_behind_the_sidecar_the_dependency_recovers(run: Run) -> None:
    recovery = run.figures["governed"]["recoveries"][-1]

    assert recovery["trouble"] == "hanging"
    assert recovery["seconds"] is not None
    assert recovery["seconds"] <= 2.0


def test_behind_the_naive_client_it_does_not(run: Run) -> None:
    recovery = run.figures["naive"]["recoveries"][-1]

    assert recovery == {"trouble": "hanging", "seconds": None, "watched": 5.0}


def test_both_sides_sent_the_same_requests(run: Run) -> None:
    governed, naive = run.figures["governed"], run.figures["naive"]

    assert governed["requests"] == naive["requests"] > 1500


def test_before_the_trouble_both_sides_are_well(run: Run) -> None:
    first = [run.figures[side]["scenes"][0]["success"] for side in ("governed", "naive")]

    assert min(first) >= 0.95


def test_the_sidecars_retries_stay_within_the_budget_as_counted_at_the_dependency(run: Run) -> None:
    governed = run.figures["governed"]
    seconds = len(run.figures["seconds"])

    assert governed["attempts"] <= 1.1 * governed["requests"] + 3 * (seconds / 10 + 1)
    assert governed["worst_amplification"] <= 1.4


def test_the_naive_clients_retries_multiply_the_load(run: Run) -> None:
    naive = run.figures["naive"]

    assert naive["worst_amplification"] >= 3.0
    assert naive["peak_load"] >= 2 * naive["capacity"]


def test_the_sidecar_and_the_dependency_counted_the_same_attempts(run: Run) -> None:
    assert run.figures["sidecar"]["attempts"] == run.figures["governed"]["attempts"]


def test_during_the_storm_page_top_metrics_and_the_dependency_say_the_same(run: Run) -> None:
    assert len(run.agreements) >= 4
    for one in run.agreements:
        for told in (one.page, one.top):
            assert one.before["sidecar_requests_total"] <= told["requests"] <= one.after["sidecar_requests_total"]
            assert one.before["sidecar_attempts_total"] <= told["attempts"] <= one.after["sidecar_attempts_total"]
            refused = sum(told["refusals"].values())
            counted = "sidecar_retry_refusals_total"
            assert one.before[counted] <= refused <= one.after[counted]
        under_way = one.after["sidecar_in_flight"]
        assert one.before["sidecar_attempts_total"] <= one.arrived
        assert one.arrived <= one.after["sidecar_attempts_total"] + under_way


def test_during_the_storm_the_report_says_the_same_less_the_second_that_is_not_over(run: Run) -> None:
    for earlier, one in pairwise(run.agreements):
        told, before, after = one.reported, earlier.before, one.after
        assert before["sidecar_requests_total"] <= told.requests <= after["sidecar_requests_total"]
        assert before["sidecar_attempts_total"] <= told.attempts <= after["sidecar_attempts_total"]
        assert before["sidecar_retries_total"] <= told.retries <= after["sidecar_retries_total"]
        refused = sum(told.refusals.values())
        assert before["sidecar_retry_refusals_total"] <= refused <= after["sidecar_retry_refusals_total"]
    assert run.agreements[-1].reported.requests > run.agreements[0].reported.requests > 0


def test_the_page_itself_says_it_in_a_browser(run: Run) -> None:
    requests, attempts = map(int, re.findall(r"Since the start: (\d+) requests (\d+) attempts", run.said)[0])

    assert requests >= run.figures["sidecar"]["requests"]
    assert 0 <= attempts - run.figures["sidecar"]["attempts"] <= 20 * 30
    assert "attempts per request" in run.said


def test_the_incident_page_tells_the_hang(run: Run) -> None:
    assert "payments was in trouble for" in run.incident
    assert "is computed, not counted" in run.incident


def test_a_pipe_gets_a_line_each_second_and_the_account(run: Run) -> None:
    lines = run.output.splitlines()

    assert sum("| with the sidecar" in line for line in lines) >= len(run.figures["seconds"]) - 1
    assert "\x1b" not in run.output
    assert run.figures["verdict"].split(";")[0] in " ".join(run.output.split())


def test_keep_leaves_it_running_with_addresses_that_answer(run: Run) -> None:
    assert [entry["name"] for entry in run.destinations["destinations"]] == ["payments"]
    assert run.dependency["phase"] == "healthy"
    assert run.troubled["phase"] == "hanging"


def test_ending_what_was_kept_is_no_failure_and_leaves_nothing_behind(run: Run) -> None:
    assert (run.code, run.errors) == (0, "")
    assert len(run.ports) == 3
    assert all(map(is_free, run.ports))
    assert not run.folder.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_so_and_leaves_nothing_behind(
    number: signal.Signals, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = start()
    try:
        read_until(process, "1 s healthy")
        kept = list(tmp_path.glob("sidecar-demo-*"))
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()

    assert len(kept) == 1
    assert (process.returncode, errors) == (code, "")
    assert list(tmp_path.glob("sidecar-demo-*")) == []
