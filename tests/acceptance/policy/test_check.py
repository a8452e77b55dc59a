"""Documents that are wrong on purpose, one mistake each, and what `sidecar policy check` says about them.

The reports are golden files, meant to be read. `GOLDEN=write make test ARGS=tests/acceptance/policy` writes them anew.
"""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main

WRONG = Path(__file__).parent / "wrong"
CASES = sorted(path.name for path in WRONG.iterdir())
DAY = "2026-12-01"

WITHOUT_FIELD = {"a-tab", "a-file-that-is-neither", "a-bracket-left-open"}
"""What is wrong with them is no field's."""
WITHOUT_VALUE = {
    *("no-owner", "an-exception-without-an-end"),  # nothing is written there
    *("a-key-with-a-typo", "a-key-given-twice", "a-guardrail-on-nothing", "a-guardrail-in-two-forms"),  # the key is it
    *("a-tab", "a-bracket-left-open", "a-file-that-is-neither"),
}


def check(case: str, monkeypatch: pytest.MonkeyPatch, *flags: str) -> Result:
    monkeypatch.chdir(WRONG / case)
    files = sorted(path.name for path in Path().glob("*.yaml"))
    return CliRunner().invoke(main, ["policy", "check", *files, "--at", DAY, *flags])


def test_there_are_thirty_and_more_of_them() -> None:
    assert len(CASES) >= 30


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_pleasantly_and_to_the_letter(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(case, monkeypatch)

    golden = WRONG / case / "report.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(result.output, encoding="utf-8")
    assert result.exit_code == 1
    assert result.output == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_each_finding_names_file_line_field_rule_and_value(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(case, monkeypatch, "--format", "json")

    findings = json.loads(result.output)["findings"]
    assert findings
    for finding in findings:
        text = (WRONG / case / finding["file"]).read_text(encoding="utf-8").splitlines()
        assert 1 <= finding["line"] <= len(text)
        assert finding["rule"]
        assert finding["id"] != "value" or "must be" in finding["rule"]
        assert (finding["field"] != "") == (case not in WITHOUT_FIELD)
        assert (finding["value"] is not None) == (case not in WITHOUT_VALUE)
        word = finding["field"].rpartition(".")[2].partition("[")[0]
        if case not in WITHOUT_VALUE:
            assert finding["value"].strip('"[]{}').split(",")[0].strip('"') in text[finding["line"] - 1]
        if case not in {"no-owner", "an-exception-without-an-end"}:
            assert word.split(" ")[0] in "\n".join(text)
