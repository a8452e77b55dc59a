"""The command as it is typed, over loopback with the one peer that needs nothing but Python."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.child import ROOT


def cost(*arguments: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "cost", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SHORT = ("--only", "aiohttp", "--rows", "get", "--rounds", "1", "--seconds", "0.2", "--generator", "own")


def test_a_short_run_measures_everything_and_leaves_nothing(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = tmp_path / "cost.json"

    ran = cost(*SHORT, "--idle-connections", "10", "--json", str(path), scratch=scratch)

    written = json.loads(path.read_text())
    subject = written["subjects"]["aiohttp"]
    assert ran.returncode == 0, ran.stderr
    assert "Bars for the sidecar" in ran.stdout
    assert subject["errors"] == {}
    assert {"get.cpu_us", "get.rps", "half.p99_ms", "process.start_s", "process.idle_rss_mb"} <= set(subject["median"])
    assert all(value is not None for value in subject["median"].values())
    assert written["machine"]["cores"] >= 1
    assert list(scratch.iterdir()) == []


def test_json_on_standard_output_is_all_there_is(tmp_path: Path) -> None:
    ran = cost(*SHORT, "--idle-connections", "0", "--json", "-", scratch=tmp_path)

    assert json.loads(ran.stdout)["command"] == "loadtest cost"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "squid"), "'squid' is none of envoy, sidecar, aiohttp, haproxy, nginx, all"),
        (("--rows", "get,2g"), "'2g' is none of get, varied, post, 10k, 10k-up, 1m, 1m-up, all"),
        (("--seconds", "0"), "0"),
        (("--sidecar", "before=/nowhere/sidecar"), "/nowhere/sidecar is no program that can be run"),
        (("--sidecar", f"sidecar={sys.executable}"), "sidecar is the name of another subject"),
        (("--only", "aiohttp", "--assert"), "--assert judges sidecar, which --only leaves out"),
        (
            ("--only", "aiohttp", "--json", "/nowhere/cost.json"),
            "--json: /nowhere/cost.json: No such file or directory",
        ),
    ],
)
def test_what_cannot_be_run_says_so_in_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ran = cost(*arguments, scratch=tmp_path)

    assert ran.returncode == 2
    assert said in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr
