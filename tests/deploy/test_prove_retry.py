"""The script of `helm test`, run as its pod runs it: on the default ports, in a network of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.fakes.helm import CHART
from tests.fakes.sandbox import in_sandbox

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = CHART / "files/prove_retry.py"


def proven(prelude: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return in_sandbox(
        ["sh", "-c", f"{prelude} exec python {SCRIPT}"],
        *("--ro-bind", ROOT, ROOT),  # also where the checkout is below /tmp
        environment={**os.environ, **environment, "PATH": path},
    )


def test_it_sees_one_retry_of_the_sidecar_it_starts() -> None:
    ran = proven()

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "one retry: answered 200 after 2 attempts; the dependency saw 2 requests\n"


def test_it_sees_one_retry_of_the_sidecar_that_was_injected() -> None:
    ran = proven("sidecar run --upstream flaky=http://127.0.0.1:8080 &", SIDECAR_IS_INJECTED="1")

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("one retry: ")


def test_it_fails_where_the_policy_lets_nothing_be_retried() -> None:
    policy = "version: 1\nowner: platform\ndefaults: {retry: {max_attempts: 1}}\n"
    start = f"printf '{policy}' > /tmp/policy.yaml; sidecar run --policy /tmp/policy.yaml"

    ran = proven(f"{start} --upstream flaky=http://127.0.0.1:8080 &".replace("\n", "\\n"), SIDECAR_IS_INJECTED="1")

    assert ran.returncode == 1
    assert "FAILED: answered 503 after 1 attempts; the dependency saw 1 requests" in ran.stderr
    assert "the retry was refused: attempts_exhausted" in ran.stderr
