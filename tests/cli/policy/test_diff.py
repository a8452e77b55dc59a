import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main
from tests.fakes.documents import POLICY

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


SERVICE = 'service: checkout\ndestinations:\n  payments:\n    endpoints: ["http://p:80"]\n    overrides: {{{}}}\n'


def for_services(tmp_path: Path, new: str, *flags: str) -> Result:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "checkout.yaml").write_text(SERVICE.format("budget: {ratio: 0.12}"), encoding="utf-8")
    other = SERVICE.replace("checkout", "billing").format("timeout: 3s")
    (tmp_path / "services" / "billing.yaml").write_text(other, encoding="utf-8")
    (tmp_path / "services" / "compose.yaml").write_text("services: {}\n", encoding="utf-8")
    return diff(tmp_path, BEFORE, new, "--config", "services", *flags)


def test_with_their_files_it_says_what_each_service_gets(tmp_path: Path) -> None:
    result = for_services(tmp_path, POLICY.replace("7", "8") + LOOSER)

    assert result.exit_code == 0
    assert result.output.splitlines()[3:] == [
        "billing  services/billing.yaml",
        "  loosens  payments budget.ratio  0.1 -> 0.15  new.yaml:3",
        "checkout  services/checkout.yaml",
        "  tightens payments timeout  8s -> 5s  new.yaml:3",
    ]


def test_a_service_that_would_refuse_the_new_policy_is_exit_one(tmp_path: Path) -> None:
    tighter = POLICY.replace("7", "8") + "guardrails: {budget.ratio: {max: 0.11}}\ndefaults: {timeout: 8s}\n"

    result = for_services(tmp_path, tighter)

    assert result.exit_code == 1
    assert "checkout  services/checkout.yaml  refuses the new policy\n" in result.output
    assert "billing  services/billing.yaml  no number in force changes\n" in result.output
    assert (
        "services/checkout.yaml:5: destinations.payments.overrides.budget.ratio: must be at most 0.11" in result.output
    )


def test_json_and_github_have_the_services_too(tmp_path: Path) -> None:
    report = json.loads(for_services(tmp_path, POLICY.replace("7", "8") + LOOSER, "--format", "json").output)
    lines = (
        CliRunner()
        .invoke(main, ["policy", "diff", "old.yaml", "new.yaml", "--config", "services", "--format", "github"])
        .output
    )

    assert [(s["service"], s["changes"][0]["after"], s["refused"]) for s in report["services"]] == [
        ("billing", "0.15", []),
        ("checkout", "5s", []),
    ]
    assert (
        "::warning file=services/billing.yaml,title=billing payments budget.ratio::"
        "billing payments budget.ratio: loosens in effect: 0.1 -> 0.15\n"
    ) in lines


@pytest.mark.parametrize(("text", "word"), [("service: 5\n", "checkout.yaml:1: service"), (None, "no sidecar file")])
def test_services_that_can_not_be_read_are_exit_two(tmp_path: Path, text: str | None, word: str) -> None:
    (tmp_path / "services").mkdir()
    flags = ["--config", "services"]
    if text is not None:
        (tmp_path / "checkout.yaml").write_text(text, encoding="utf-8")
        flags = ["--config", "checkout.yaml"]

    result = diff(tmp_path, BEFORE, BEFORE, *flags)

    assert result.exit_code == 2
    assert word in result.stderr
