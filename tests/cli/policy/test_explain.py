import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main
from sidecar.governance.documents.settings import SETTINGS
from tests.fakes.documents import EXCEPTION, OVERRIDE, POLICY, SIDECAR


@pytest.fixture(autouse=True)
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sidecar.yaml").write_text(SIDECAR + OVERRIDE, encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(POLICY + EXCEPTION, encoding="utf-8")


def explain(*arguments: str, at: str = "2026-12-01") -> Result:
    return CliRunner().invoke(main, ["policy", "explain", "--config", "sidecar.yaml", "--at", at, *arguments])


def test_it_answers_why_a_number_is_what_it_is() -> None:
    result = explain("payments", "budget.ratio")

    assert result.exit_code == 0
    assert result.output == (
        "payments budget.ratio is 0.35\n"
        "    Retries, as a share of the requests in the window: the control that keeps load from multiplying.\n"
        "    0.1  built in: overruled\n"
        "    0.35  override of the service, by leave of an exception, sidecar.yaml:7: in force\n"
        "    exception EX-1 (policy.yaml:4), live, from 2026-11-24 until 2026-12-05, 00:00 UTC\n"
        "    guardrail: {max: 0.2, ceiling: 0.5} (built in)\n\n"
    )


def test_the_beginning_of_settings_stands_for_all_of_them() -> None:
    output = explain("payments", "budget").output

    assert [line.split(" ")[1] for line in output.splitlines() if line.startswith("payments")] == [
        setting for setting in SETTINGS if setting.startswith("budget.")
    ]


def test_without_a_setting_every_number_has_a_line_that_is_not_cut() -> None:
    lines = explain("payments").output.splitlines()

    listed = [line.split()[0] for line in lines[1:] if line]
    assert listed == [*SETTINGS, "idempotency_key.max_length"]
    ratio = next(line for line in lines if "budget.ratio" in line)
    assert ratio.split(maxsplit=5)[1:] == ["0.35", "exception", "EX-1", "sidecar.yaml:7", "{max: 0.2, ceiling: 0.5}"]


def test_json_has_every_number_of_every_destination_with_its_steps() -> None:
    report = json.loads(explain("--format", "json").output)

    assert set(report["numbers"]) == {"payments", "unlisted", "sidecar"}
    assert set(SETTINGS) <= set(report["numbers"]["payments"])
    assert report["numbers"]["payments"]["budget.ratio"]["steps"][0]["source"] == "baseline"
    assert report["at"].startswith("2026-12-01")


def test_another_policy_can_be_tried() -> None:
    Path("other.yaml").write_text(POLICY.replace("7", "9") + EXCEPTION.replace("EX-1", "EX-9"), encoding="utf-8")

    assert "exception EX-9" in explain("payments", "budget.ratio", "--policy", "other.yaml").output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ledger"], "ledger: is none of payments, unlisted, sidecar"),
        (["payments", "budgit"], "budgit: is no setting of payments"),
        (["payments", "--policy", "gone.yaml"], "gone.yaml: can not be read"),
    ],
)
def test_what_can_not_be_explained_is_exit_two(arguments: list[str], words: str) -> None:
    result = explain(*arguments)

    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_a_policy_at_an_address_is_asked_for_instead_of_explaining_by_another(tmp_path: Path) -> None:
    (tmp_path / "sidecar.yaml").write_text(SIDECAR.replace("file: policy.yaml", 'url: "https://policies/p.yaml"'))

    without, with_copy = explain("payments"), explain("payments", "--policy", "policy.yaml")

    assert without.exit_code == 2
    assert without.stderr == (
        "sidecar policy explain: the policy is at https://policies/p.yaml: give a copy of it, --policy FILE\n"
    )
    assert with_copy.exit_code == 0
    assert "policy version 7" in with_copy.output


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["payment"], "payment: is none of payments, unlisted, sidecar; did you mean payments?"),
        (["payments", "bugdet"], "bugdet: is no setting of payments; did you mean budget?"),
        (["payments", "budget.ration"], "budget.ration: is no setting of payments; did you mean budget.ratio?"),
        (["payments", "xyz"], "xyz: is no setting of payments\n"),
    ],
)
def test_a_word_with_a_typo_gets_the_nearest_one(words: list[str], hint: str) -> None:
    result = explain(*words)

    assert result.exit_code == 2
    assert hint in result.output
