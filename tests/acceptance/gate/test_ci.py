"""The workflow and the hook that are shipped, run as their readers would: on a repository with a history."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.review.descriptions import HEAD

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
PROVEN = (
    HEAD
    + """\
paths:
  /payments:
    post:
      operationId: createPayment
      x-idempotency: {strategy: key, retention: 24h}
      parameters: [{name: Idempotency-Key, in: header, required: true, schema: {type: string}}]
      responses: {"201": {description: a}, "409": {description: b}, "422": {description: c}}
"""
)


def steps() -> dict[str, str]:
    workflow: Any = yaml.safe_load((ROOT / "deploy" / "ci" / "gate.yml").read_text(encoding="utf-8"))
    return {step["name"]: step["run"] for step in workflow["jobs"]["gate"]["steps"] if "run" in step}


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "openapi.yaml").write_text(PROVEN)
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "update-ref", "refs/remotes/origin/main", "HEAD")
    return tmp_path


def run(name: str, folder: Path, base: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "BASE": base}
    command = ["bash", "-e", "-o", "pipefail", "-c", steps()[name]]
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("base", ["main", ""])
def test_a_change_that_proves_what_it_adds_passes(repository: Path, base: str) -> None:
    assert [run(name, repository, base).returncode for name in ("Gate", "Next week", "SARIF")] == [0, 0, 0]
    assert (repository / "gate.sarif").stat().st_size > 0


def test_a_change_that_removes_a_strategy_is_refused_at_its_line(repository: Path) -> None:
    description = repository / "api" / "openapi.yaml"
    description.write_text(PROVEN.replace("      x-idempotency: {strategy: key, retention: 24h}\n", ""))

    done = run("Gate", repository, "main")

    assert done.returncode == 1
    assert done.stdout.startswith(
        "::error file=api/openapi.yaml,line=5,title=POST /payments::POST /payments: had the strategy key before"
    )
    assert run("SARIF", repository, "main").returncode == 0


def test_the_week_to_come_is_said_and_refuses_nothing(repository: Path) -> None:
    today = datetime.now(UTC).date()
    rules = (ROOT / "config" / "gate.yaml").read_text(encoding="utf-8")
    exception = f"""exceptions:
  - id: GX-1
    operation: createPayment
    reason: The acquirer dedupes by order number
    ticket: PAY-1
    owner: team-payments
    approved_by: [a.lee, b.ortiz]
    not_before: {today - timedelta(days=1)}
    expires: {today + timedelta(days=3)}
"""
    (repository / "config").mkdir()
    (repository / "config" / "gate.yaml").write_text(rules.replace("exceptions: []\n", exception))
    description = repository / "api" / "openapi.yaml"
    description.write_text(PROVEN.replace("{strategy: key, retention: 24h}", "{strategy: none}"))

    assert run("Rules", repository, "").returncode == 0
    assert run("Gate", repository, "").returncode == 0
    later = run("Next week", repository, "")
    assert later.returncode == 0
    assert "::warning::in seven days this will be refused" in later.stdout


def test_the_hook_takes_what_is_called_like_a_description(repository: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))

    taken = re.compile(hook["files"])
    assert [bool(taken.search(name)) for name in ("api/openapi.yaml", "swagger.v2.json", "values.yaml")] == [
        True,
        True,
        False,
    ]
    entry = [str(BIN / hook["entry"].split()[0]), *hook["entry"].split()[1:], "api/openapi.yaml"]
    assert subprocess.run(entry, cwd=repository, check=False, capture_output=True).returncode == 0


def test_the_gate_without_its_extra_is_one_line_and_no_finding(repository: Path) -> None:
    program = "import sys\nsys.modules['referencing'] = None\nfrom sidecar.__main__ import main\nmain()"

    command = [sys.executable, "-c", program, "gate", "api"]
    result = subprocess.run(command, cwd=repository, check=False, capture_output=True, text=True)

    assert result.returncode == 2
    assert result.stderr == "the review gate needs the extra `gate`: pip install 'retry-sidecar[gate]'\n"
