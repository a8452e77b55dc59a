"""Callers of a healthy dependency, on real sockets: whoever is answered directly is answered through the sidecar.

A short form of `make harmless`: success and attempts, which a busy machine does not change. Latencies are for people to
measure. The same in virtual time, latencies included, is tests/simulator/test_harmless.py.
"""

import subprocess
import sys

import pytest

from loadtest.child import ROOT

WITHIN_SECONDS = 90


@pytest.mark.parametrize("situation", ["shift", "batch-slow", "idle-then-slow"])
def test_callers_of_a_slow_dependency_are_answered_as_well_as_directly(situation: str) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "loadtest", "harmless"),
            *("--only", situation, "--subject", "sidecar", "--counts", "--assert"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WITHIN_SECONDS,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "sidecar: not noticed in 1 of 1 situations" in ran.stdout
