"""`sidecar simulate` as it is typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = """\
name: a small storm
duration: 25s
services:
  checkout: {pods: 4, rate: 50/s, deadline: 3s, calls: {payments: 1}}
  payments: {utilisation: 0.8}
trouble:
  - {service: payments, kind: hang, at: 8s, lasts: 4s}
"""


@pytest.fixture
def storm(tmp_path: Path) -> Path:
    file = tmp_path / "storm.yaml"
    file.write_text(SMALL)
    return file


def simulate(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sidecar", "simulate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )


def test_a_budgetless_policy_collapses_and_the_baseline_does_not(storm: Path, tmp_path: Path) -> None:
    page, record = tmp_path / "storm.html", tmp_path / "storm.json"

    ran = simulate(
        *(storm, "--policy", "config/policy.yaml", "--against", "ungoverned", "--html", page, "--json", record),
        *("--assert", "amplification < 1.2", "--assert", "after > 0%"),
    )

    told = json.loads(record.read_text())["outcomes"]
    assert ran.returncode == 0, ran.stderr
    assert "never" in ran.stdout
    assert told["ungoverned"]["metastable"]
    assert not told["config/policy.yaml"]["metastable"]
    assert "<svg" in page.read_text()


def test_a_fleet_of_800_collapses_without_a_budget_and_does_not_with_the_baseline(tmp_path: Path) -> None:
    fleet, record = tmp_path / "fleet.yaml", tmp_path / "fleet.json"
    hang = (ROOT / "config" / "scenarios" / "hang.yaml").read_text()
    fleet.write_text(hang.replace("rate: 50/s", "rate: 3/s").replace("duration: 60s", "duration: 40s"))

    simulate(fleet, "--policy", "config/policy.yaml", "--against", "ungoverned", "--json", record)

    told = json.loads(record.read_text())
    assert told["scenario"]["services"]["checkout"]["pods"] == 800
    assert told["outcomes"]["ungoverned"]["metastable"]
    assert not told["outcomes"]["config/policy.yaml"]["metastable"]


def test_a_figure_that_does_not_hold_is_named_with_exit_one(storm: Path) -> None:
    ran = simulate(storm, "--assert", "during > 99.9%", "--json", "-")

    assert ran.returncode == 1
    assert "does not hold: during > 99.9%: it was" in ran.stderr
    assert json.loads(ran.stdout)["scenario"]["name"] == "a small storm"


def test_the_same_seed_gives_the_same_figures(storm: Path) -> None:
    one, again, other = (simulate(storm, "--json", "-", "--seed", seed).stdout for seed in (3, 3, 4))

    assert one == again
    assert one != other


def test_a_map_is_printed(storm: Path) -> None:
    ran = simulate(storm, "--map", "--utilisations", "40,90", "--blips", "1,2")

    assert ran.returncode == 0, ran.stderr
    assert "baseline:" in ran.stdout
    assert "90%" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.yaml"], "absent.yaml: can not be read"),
        (["config/scenarios/hang.yaml", "--policy", "absent.yaml"], "absent.yaml: can not be read"),
        (["config/scenarios/hang.yaml", "--against", "absent.yaml"], "absent.yaml: can not be read"),
        (["config/scenarios/hang.yaml", "--assert", "joy > 1"], "joy is none of"),
        (["config/scenarios/hang.yaml", "--assert", "wasted[paymnts] < 5%"], "paymnts is none of checkout, payments"),
        (["config/scenarios/hang.yaml", "--blips", "soon"], "must be numbers with commas"),
        (["config/scenarios/hang.yaml", "--html", "/nowhere/x.html"], "/nowhere is not a directory"),
        (["config/policy.yaml"], "policy.yaml"),
    ],
)
def test_what_can_not_be_simulated_is_one_clear_message_and_exit_two(arguments: list[str], said: str) -> None:
    ran = simulate(*arguments)

    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


HEALTHY = """\
expect: harmless
duration: 8s
warm_up: 0s
services:
  checkout: {rate: 100/s, calls: {payments: 1}}
  payments: {capacity: unlimited, service_time: 20ms, spread: fixed}
trouble:
  - {service: payments, kind: slow, service_time: 500ms, at: 3s, lasts: 60s}
"""


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    file = tmp_path / "healthy.yaml"
    file.write_text(HEALTHY)
    return file


def test_what_expects_no_harm_is_played_without_a_sidecar_too_and_harm_is_exit_1(healthy: Path, tmp_path: Path) -> None:
    record, strict = tmp_path / "record.json", tmp_path / "policy.yaml"
    limit = "timeout: 10s, concurrency: {limit: fixed, initial: 10}"
    strict.write_text(f"version: 1\nowner: platform\ndefaults: {{{limit}}}\n")

    ran = simulate(healthy, "--policy", strict, "--json", record)

    written = json.loads(record.read_text())
    assert ran.returncode == 1
    assert list(written["outcomes"]) == [str(strict), "direct"]
    assert written["outcomes"]["direct"]["p99"] == pytest.approx(0.5)
    assert {"success", "p99"} <= {bar["figure"] for bar in written["harms"]}
    assert "does not hold: expect: harmless: success" in ran.stderr


def test_what_does_no_harm_is_exit_0(healthy: Path, tmp_path: Path) -> None:
    record, generous = tmp_path / "record.json", tmp_path / "policy.yaml"
    limit = "concurrency: {limit: fixed, initial: 200}"
    generous.write_text(f"version: 1\nowner: platform\ndefaults: {{{limit}}}\n")

    ran = simulate(healthy, "--policy", generous, "--json", record)

    assert ran.returncode == 0, ran.stderr
    assert json.loads(record.read_text())["harms"] == []
