import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main
from tests.governance.documents import POLICY

BEFORE = POLICY + "defaults: {budget: {ratio: 0.1}, timeout: 8s}\n"
LOOSER = "defaults: {budget: {ratio: 0.15}, timeout: 5s}\n"


def diff(tmp_path: Path, old: str, new: str, *flags: str) -> Result:
    for name, text in (("old.yaml", old), ("new.yaml", new)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["policy", "diff", "old.yaml", "new.yaml", *flags])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_loosens_comes_first_with_whom_and_where(tmp_path: Path) -> None:
    result = diff(tmp_path, BEFORE, POLICY.replace("7", "8") + LOOSER)

    assert result.exit_code == 0
    assert result.output == (
        "new.yaml  version 7 -> 8\n"
        "loosens  defaults.budget.ratio  0.1 -> 0.15  every service  new.yaml:3\n"
        "tightens defaults.timeout       8s -> 5s  every service  new.yaml:3\n"
    )


def test_a_loosening_without_a_rise_of_version_is_exit_one(tmp_path: Path) -> None:
    result = diff(tmp_path, BEFORE, POLICY + LOOSER)

    assert result.exit_code == 1
    assert "new.yaml:1: version: must rise" in result.output


def test_no_difference_is_said(tmp_path: Path) -> None:
    result = diff(tmp_path, POLICY, POLICY)

    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "no difference")


def test_json_and_github_say_the_same(tmp_path: Path) -> None:
    report = json.loads(diff(tmp_path, BEFORE, POLICY + LOOSER, "--format", "json").output)
    lines = diff(tmp_path, BEFORE, POLICY + LOOSER, "--format", "github").output.splitlines()

    assert report["loosens"] is True
    assert [(c["effect"], c["field"]) for c in report["changes"]] == [
        ("tightens", "defaults.timeout"),
        ("loosens", "defaults.budget.ratio"),
    ]
    assert report["findings"][0]["field"] == "version"
    assert [line.split(" ")[0] for line in lines] == ["::error", "::notice", "::warning"]


@pytest.mark.parametrize(
    ("old", "word"), [("version: x\nowner: o\n", "old.yaml:1: version"), (None, "can not be read")]
)
def test_what_is_no_valid_policy_is_exit_two(tmp_path: Path, old: str | None, word: str) -> None:
    if old is None:
        result = CliRunner().invoke(main, ["policy", "diff", "gone.yaml", "gone.yaml"])
    else:
        result = diff(tmp_path, old, POLICY)

    assert result.exit_code == 2
    assert word in result.stderr
    assert "Traceback" not in result.output
