"""The command as it is typed: real processes over loopback, for a few seconds. Counts, not times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.child import ROOT


def harmless(*arguments: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "harmless", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_batch_from_cold_is_answered_as_well_as_directly(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = tmp_path / "harmless.json"

    ran = harmless(
        "--only", "cold-burst", "--subject", "sidecar", "--counts", "--assert", "--json", str(path), scratch=scratch
    )

    assert ran.returncode == 0, ran.stderr
    assert "cold-burst: 400 at once from cold, 100 ms" in ran.stdout
    assert "sidecar: not noticed in 1 of 1 situations" in ran.stdout
    assert "seed 1" in ran.stderr
    written = json.loads(path.read_text())
    assert written["failures"] == []
    direct, sidecar = written["runs"]
    assert (direct["subject"], direct["attempts"], direct["requests"]) == ("direct", 400, 400)
    assert (sidecar["subject"], sidecar["kinds"][0]["good"]) == ("sidecar", 400)
    assert list(scratch.iterdir()) == []
    again = harmless("--from", str(path), "--counts", scratch=scratch)
    assert again.stdout == ran.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "hurricane"), "'hurricane' is none of closed-loop, one-in-ten-slow"),
        (("--subject", "nginx"), "'nginx' is none of direct, sidecar, envoy, envoy-adaptive, all"),
        (("--sidecar", "before"), "must be NAME=PATH, got 'before'"),
        (("--sidecar", "before=/nowhere/sidecar"), "/nowhere/sidecar is no program that can be run"),
        (("--sidecar", f"envoy={sys.executable}"), "envoy is the name of another subject"),
        (("--from", "pyproject.toml"), "--from: pyproject.toml: not a record of these situations"),
        (("--json", "/nowhere/harmless.json"), "--json: /nowhere/harmless.json: No such file or directory"),
    ],
)
def test_what_cannot_be_run_says_so_in_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ran = harmless(*arguments, scratch=tmp_path)

    assert ran.returncode == 2
    assert said in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr
