from pathlib import Path

import pytest

from sidecar.cli.policy.documents import content_of, policy_in, snapshot_of
from tests.fakes.documents import NOW, POLICY, SIDECAR


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_valid_documents_are_handed_over() -> None:
    Path("p.yaml").write_text(POLICY, encoding="utf-8")
    Path("s.yaml").write_text(SIDECAR, encoding="utf-8")

    assert policy_in(Path("p.yaml"), "x").version == 7
    assert snapshot_of(Path("s.yaml"), Path("p.yaml"), None, NOW, "x").version == 7


def test_others_end_the_command_and_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.yaml").write_text(POLICY + "via: 1\n", encoding="utf-8")

    with pytest.raises(SystemExit, match="2"):
        policy_in(Path("p.yaml"), "policy diff")
    with pytest.raises(SystemExit, match="2"):
        content_of(Path("gone.yaml"), "policy diff")

    said = capsys.readouterr().err
    assert "p.yaml:3: via: must be true or false, got 1" in said
    assert "sidecar policy diff: gone.yaml: can not be read: No such file or directory" in said
