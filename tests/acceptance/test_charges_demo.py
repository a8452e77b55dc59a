"""`sidecar demo --charges` with everything real: two payment services, a sidecar with a store, clients that retry."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.stage import is_free

PATIENCE = 90.0


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "sidecar", "demo", "--charges", "--fast", *arguments],
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


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"\nPPid:\t{pid}\n" in (entry / "status").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@dataclass
class Run:
    figures: dict[str, Any]
    output: str
    during: str  # the page while it ran
    after: str
    counted: dict[str, Any]  # by the service behind the gate, asked by us
    counted_naive: dict[str, Any]
    metrics: str
    code: int
    errors: str
    ports: set[int]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One whole run with --keep, looked at and then interrupted."""
    report = tmp_path_factory.mktemp("charges") / "figures.json"
    process = start("--keep", "--json", str(report))
    try:
        output = read_until(process, "The live page: ")
        board, admin = (re.search(rf"{words}: (http\S+)", output)[1] for words in ("as a page", "live page"))  # type: ignore[index]
        output += read_until(process, "2 s | behind the gate: ")
        during = fetch(board).decode()
        output += read_until(process, "what was charged")
        behind, naive = re.findall(r"(http\S+/-/charges)", output)
        after, counted, counted_naive = fetch(board).decode(), json.loads(fetch(behind)), json.loads(fetch(naive))
        metrics = fetch(f"{admin}metrics").decode()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    return Run(
        json.loads(report.read_text()),
        output + rest,
        during,
        after,
        counted,
        counted_naive,
        metrics,
        code=process.returncode,
        errors=errors,
        ports={int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", output)},
    )


def test_behind_the_gate_no_order_is_charged_twice_though_answers_were_lost(run: Run) -> None:
    gated = run.figures["gated"]["service"]

    assert gated["lost"] + gated["late"] >= 10
    assert gated["orders"] == gated["charges"] >= 40
    assert (gated["twice"], gated["most"], run.figures["at_most_once"]) == (0, 1, True)
    assert max(run.counted["by_order"].values()) == 1


def test_the_naive_client_has_orders_charged_twice(run: Run) -> None:
    naive = run.figures["naive"]["service"]

    assert naive["twice"] >= 5
    assert naive["charges"] > naive["orders"]
    assert max(run.counted_naive["by_order"].values()) >= 2


def test_both_sides_were_sent_the_same_orders_and_know_of_each_that_it_is_paid(run: Run) -> None:
    gated, naive = run.figures["gated"], run.figures["naive"]

    assert gated["client"]["orders"] == naive["client"]["orders"] == gated["service"]["orders"]
    assert gated["client"]["paid"] >= 0.9 * gated["client"]["orders"]


def test_the_figures_are_the_services_own(run: Run) -> None:
    """The services went on counting for --keep: of the orders of the play, by their number, nothing has changed."""
    for side, counted in (("gated", run.counted), ("naive", run.counted_naive)):
        orders = run.figures[side]["client"]["orders"]
        of_the_play = [counted["by_order"].get(f"order-{n}", 0) for n in range(1, orders + 1)]
        assert sum(of_the_play) == run.figures[side]["service"]["charges"]
        assert sum(count > 1 for count in of_the_play) == run.figures[side]["service"]["twice"]


def test_the_gate_counted_as_many_runs_as_the_service_counted_charges(run: Run) -> None:
    new = re.search(r'sidecar_idempotency_requests_total{route="create-payment",outcome="new"} (\S+)', run.metrics)

    assert new is not None
    assert run.figures["gated"]["service"]["charges"] <= float(new[1]) <= run.counted["charges"] + 5


def test_the_terminal_and_the_page_have_the_table(run: Run) -> None:
    lines = [line.split() for line in run.output.splitlines()]
    gated, naive = (run.figures[side]["service"] for side in ("gated", "naive"))

    assert ["charges", str(gated["charges"]), str(naive["charges"])] in lines
    assert ["orders", "charged", "twice", "or", "more", "0", str(naive["twice"])] in lines
    assert '<th scope="row">charges per order</th><td class="">1.00</td>' in run.after
    assert 'http-equiv="refresh"' in run.during


def test_ending_what_was_kept_is_no_failure_and_leaves_nothing_behind(run: Run) -> None:
    assert (run.code, run.errors) == (0, "")
    assert len(run.ports) == 5
    assert all(map(is_free, run.ports))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_nothing_running(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = start()
    try:
        read_until(process, "1 s | behind the gate: ")
        children = children_of(process.pid)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()

    assert len(children) == 5  # two services, two clients, the sidecar
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    deadline = time.monotonic() + 30.0
    while any(map(_runs, children)):
        assert time.monotonic() < deadline, children
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
