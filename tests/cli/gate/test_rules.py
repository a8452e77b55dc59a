from pathlib import Path

import pytest

from sidecar.cli.gate.rules import rules_in


def test_the_built_in_rules_are_those_of_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    rules = rules_in(None)

    assert rules.file == "config/gate.yaml (built in)"
    assert len(rules.document.rules) == 6


def test_rules_that_are_not_there_end_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        rules_in(tmp_path / "gone.yaml")

    assert caught.value.code == 2
    assert "gone.yaml: can not be read" in capsys.readouterr().err
