"""What the platform owner's page and the workflow beside it tell people to run, is run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sidecar.governance.documents.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
SOURCES = (ROOT / "docs" / "policy-sources.md").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load((ROOT / "deploy" / "ci" / "policy-check.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in WORKFLOW["jobs"]["check"]["steps"] if "name" in step}


def blocks(language: str, page: str = PAGE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The repository of a policy: the shipped documents on main, and a branch on top of it."""
    (tmp_path / "config").mkdir()
    for name in ("policy.yaml", "sidecar.yaml"):
        (tmp_path / "config" / name).write_bytes((ROOT / "config" / name).read_bytes())
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "x"], ["branch", "base"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True, timeout=20)
    return tmp_path


def run(name: str, repository: Path) -> subprocess.CompletedProcess[str]:
    """A step of the workflow, as a runner runs it."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BASE": "base",
        "RUNNER_TEMP": str(repository / ".git"),
    }
    command = ["bash", "-e", "-o", "pipefail", "-c", STEPS[name]["run"]]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=60)


def change(repository: Path, old: str, new: str, name: str = "policy.yaml") -> None:
    file = repository / "config" / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_workflow_passes_what_is_sound(repository: Path) -> None:
    for name in ("Check", "What it loosens", "Next week", "SARIF"):
        result = run(name, repository)

        assert (result.returncode, result.stderr) == (0, ""), name
    assert (repository / "policy.sarif").stat().st_size > 1000


def test_the_workflow_stops_an_override_past_a_guardrail_and_shows_it_at_its_line(repository: Path) -> None:
    change(repository, "ratio: 0.15", "ratio: 5", "sidecar.yaml")

    result = run("Check", repository)

    assert result.returncode == 1
    assert result.stdout.startswith("::error file=config/sidecar.yaml,line=")
    assert run("SARIF", repository).returncode == 0


def test_the_workflow_stops_a_loosening_without_a_rise_of_version(repository: Path) -> None:
    change(repository, "ratio: 0.1 ", "ratio: 0.12 ")
    without = run("What it loosens", repository)
    change(repository, "version: 7", "version: 8")
    with_rise = run("What it loosens", repository)

    assert (without.returncode, with_rise.returncode) == (1, 0)
    assert "::error file=config/policy.yaml" in without.stdout
    assert "::warning file=config/policy.yaml" in with_rise.stdout


def test_the_workflow_passes_a_repository_that_has_a_policy_and_no_sidecar_file(repository: Path) -> None:
    (repository / "config" / "sidecar.yaml").unlink()

    for name in ("Check", "What it loosens", "Next week", "SARIF"):
        result = run(name, repository)

        assert (result.returncode, result.stderr) == (0, ""), name


def test_the_workflow_stops_a_loosening_where_there_is_no_sidecar_file(repository: Path) -> None:
    (repository / "config" / "sidecar.yaml").unlink()
    change(repository, "ratio: 0.1 ", "ratio: 0.12 ")

    assert run("What it loosens", repository).returncode == 1


def test_the_workflow_says_what_each_service_gets(repository: Path) -> None:
    change(repository, "max_attempts: 3", "max_attempts: 2")

    result = run("What it loosens", repository)

    assert result.returncode == 0
    assert "::notice file=config/sidecar.yaml" in result.stdout
    assert "tightens in effect: 3 -> 2" in result.stdout


def test_the_workflow_stops_a_policy_that_a_service_would_refuse(repository: Path) -> None:
    change(repository, "version: 7", "version: 8")
    change(repository, "budget.ratio: {max: 0.2", "budget.ratio: {max: 0.12")

    result = run("What it loosens", repository)

    assert result.returncode == 1
    assert "::error file=config/sidecar.yaml,line=" in result.stdout


def test_the_workflow_passes_the_first_version_of_a_policy_and_no_base_that_is_not_there(repository: Path) -> None:
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    without = ["commit-tree", "-m", "x", "4b825dc642cb6eb9a060e54bf8d69288fbee4904"]
    subprocess.run(["git", "hash-object", "-w", "-t", "tree", "/dev/null"], cwd=repository, check=True, timeout=20)
    empty = subprocess.run([*git, *without], cwd=repository, capture_output=True, text=True, check=True, timeout=20)
    subprocess.run([*git, "branch", "-f", "base", empty.stdout.strip()], cwd=repository, check=True, timeout=20)
    first = run("What it loosens", repository)
    subprocess.run([*git, "branch", "-D", "base"], cwd=repository, capture_output=True, check=True, timeout=20)
    nowhere = run("What it loosens", repository)

    assert first.returncode == 0
    assert "::notice::base has no config/policy.yaml" in first.stdout
    assert nowhere.returncode != 0


def test_every_command_of_the_page_runs_in_the_repository(tmp_path: Path) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    (tmp_path / "before.yaml").write_bytes((ROOT / "config" / "policy.yaml").read_bytes())

    assert len(commands) >= 5
    for command in commands:
        words = [str(tmp_path / word) if word == "before.yaml" else word for word in shlex.split(command)]
        assert words[0] == "sidecar"
        result = subprocess.run(
            [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == 0, (command, result.stdout, result.stderr)


def test_what_the_page_shows_of_explain_is_what_is_printed() -> None:
    command = next(line for block in blocks("sh") for line in block.splitlines() if "policy explain" in line)

    printed = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout

    assert f"```\n{printed.strip()}\n```" in PAGE


def test_the_documents_of_the_page_are_valid_together(tmp_path: Path) -> None:
    policy = "version: 8\nowner: platform\n" + "".join(blocks("yaml"))
    sidecar = 'service: checkout\ndestinations:\n  ledger:\n    endpoints: ["http://ledger:80"]\n'
    sidecar += "    overrides: {budget: {ratio: 0.35}}\n"
    (tmp_path / "policy.yaml").write_text(policy, encoding="utf-8")
    (tmp_path / "sidecar.yaml").write_text(sidecar, encoding="utf-8")

    result = subprocess.run(
        [sys.executable, "-m", "sidecar", "policy", "check", str(tmp_path), "--at", "2026-12-01"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0, result.stdout


def test_the_settings_page_is_linked_and_there() -> None:
    assert "(settings.md)" in PAGE
    assert all(f"`{setting}`" in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") for setting in SETTINGS)


def test_the_commands_about_signatures_make_a_policy_that_is_believed(tmp_path: Path) -> None:
    """As printed, one after the other, with the line to pin put where the page says."""
    (tmp_path / "policy.yaml").write_bytes((ROOT / "config" / "policy.yaml").read_bytes())
    commands = [line.partition("#")[0] for block in blocks("sh", SOURCES) for line in block.splitlines()]
    assert [shlex.split(command)[:3] for command in commands] == [
        ["sidecar", "policy", word] for word in ("keygen", "sign", "verify")
    ]
    printed = []
    for command in commands:
        if "verify" in command:
            sidecar = f"service: checkout\npolicy:\n  file: policy.yaml\n  {printed[0].strip()}\n"
            (tmp_path / "sidecar.yaml").write_text(sidecar, encoding="utf-8")
        result = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        assert result.returncode == 0, (command, result.stderr)
        printed.append(result.stdout)

    assert printed[2] == "policy.yaml: signed by ann-2026\n"


def test_the_documents_of_the_page_on_sources_are_valid(tmp_path: Path) -> None:
    for number, block in enumerate(blocks("yaml", SOURCES)):
        if "…" in block:
            continue
        policy = block.startswith("version")
        file = tmp_path / f"{number}-{'policy' if policy else 'sidecar'}.yaml"
        file.write_text(block + ("owner: platform\n" if policy else "service: checkout\n"), encoding="utf-8")
        result = subprocess.run(
            [sys.executable, "-m", "sidecar", "policy", "check", str(file)], capture_output=True, text=True, timeout=60
        )

        assert result.returncode == 0, (block, result.stdout, result.stderr)


def test_what_the_page_shows_of_diff_is_what_is_printed(repository: Path) -> None:
    before = repository / "before.yaml"
    before.write_bytes((repository / "config" / "policy.yaml").read_bytes())
    for old, new in (("version: 7", "version: 8"), ("ratio: 0.1 ", "ratio: 0.12 "), ("timeout: 60s ", "timeout: 48s ")):
        change(repository, old, new)
    (repository / "services").mkdir()
    service = 'service: checkout\ndestinations: {ledger: {endpoints: ["http://l:80"], overrides: {timeout: 3s}}}\n'
    (repository / "services" / "checkout.yaml").write_text(service, encoding="utf-8")

    printed = subprocess.run(
        [
            sys.executable,
            "-m",
            "sidecar",
            "policy",
            "diff",
            "before.yaml",
            "config/policy.yaml",
            "--config",
            "services",
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    about_policy, name, about_service = printed.partition("checkout")
    assert f"```\n{about_policy}```" in PAGE
    assert f"```\n{name}{about_service}```" in PAGE


def test_what_the_page_shows_of_a_refusal_is_what_is_printed() -> None:
    wrong = Path(__file__).parent / "wrong" / "an-override-past-a-guardrail"
    report = (wrong / "report.txt").read_text(encoding="utf-8").partition("\n\n")[0]

    assert f"```\n{report.replace('got 5', 'got 0.35').replace('ratio: 5', 'ratio: 0.35')}\n```" in PAGE
