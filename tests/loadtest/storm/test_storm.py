"""The command as it is typed: real processes over loopback, for a few seconds. Invariants, not times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.child import ROOT


def storm(*arguments: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "storm", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_short_hang_behind_the_sidecar_keeps_every_promise(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = tmp_path / "storm.json"

    ran = storm(
        "--scenario", "hang", "--subject", "sidecar", "--seconds-scale", "0.2", "--json", str(path), scratch=scratch
    )

    assert ran.returncode == 0, ran.stderr
    assert "hang: it hangs for 5 s (320 of 400 requests/s)" in ran.stdout
    assert "seed 1" in ran.stderr
    written = json.loads(path.read_text())
    (run,) = written["runs"]
    assert written["failures"] == []
    assert run["attempts"] >= 0.9 * run["requests"] > 0
    assert run["amplification"] <= 1.2
    assert run["duplicates"] == run["violations"] == 0
    assert max(run["goodput"]) > 0
    assert list(scratch.iterdir()) == []
    again = storm("--from", str(path), scratch=scratch)
    assert again.stdout == ran.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scenario", "hurricane"), "'hurricane' is none of hang, fast-503"),
        (("--subject", "nginx"), "'nginx' is none of none, naive, envoy, envoy-tuned, sidecar, all"),
        (("--from", "pyproject.toml"), "--from: pyproject.toml: not a record of these scenarios"),
        (("--json", "/nowhere/storm.json"), "--json: /nowhere/storm.json: No such file or directory"),
    ],
)
def test_what_cannot_be_run_says_so_in_one_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    ran = storm("--seconds-scale", "0.1", *arguments, scratch=tmp_path)

    assert ran.returncode == 2
    assert said in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr
