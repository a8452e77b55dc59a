"""The command as it is typed: a fleet of real processes over loopback, for a few seconds. Invariants, not times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.child import ROOT


def clients(*arguments: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "clients", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_a_short_hang_is_multiplied_by_what_has_no_budget_and_not_by_the_client_library(tmp_path: Path) -> None:
    path = tmp_path / "clients.json"

    ran = clients(
        "--scenario", "hang", "--library", "tenacity,sidecar-coroutines", "--seconds-scale", "0.3", "--json", str(path),
        scratch=tmp_path,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    written = json.loads(path.read_text())
    assert written["failures"] == []
    theirs, ours = written["runs"]
    assert (theirs["subject"], ours["subject"]) == ("tenacity", "sidecar-coroutines")
    assert theirs["amplification"] > 1.5
    assert theirs["duplicates"] > 0
    assert ours["amplification"] <= 1.2
    assert all(run["client_cpu"] > 0 for run in (theirs, ours))
    assert ours["duplicates"] == ours["violations"] == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["clients.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scenario", "rolling-restart"), "'rolling-restart' is none of hang, fast-503"),
        (("--library", "backoff"), "'backoff' is none of none, httpx, tenacity, stamina, urllib3, aws-standard"),
        (("--json", "/nowhere/clients.json"), "--json: /nowhere/clients.json: No such file or directory"),
    ],
)
def test_what_cannot_be_run_says_so_in_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ran = clients("--seconds-scale", "0.1", *arguments, scratch=tmp_path)

    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
