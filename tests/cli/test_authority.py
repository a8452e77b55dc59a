from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import authority as module
from sidecar.cli.policy.explain import explain
from sidecar.governance.policy.authority import authority_file
from tests.fakes.documents import POLICY


@pytest.fixture(autouse=True)
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sidecar.yaml").write_text("service: checkout\n")
    Path("policy.yaml").write_text(POLICY)
    Path("authority.yaml").write_text("policy: {file: policy.yaml}\n")


def explained(*flags: str, variable: str | None = None) -> Result:
    env = {module.VARIABLE: variable}
    return CliRunner().invoke(explain, ["sidecar", "version", "--config", "sidecar.yaml", *flags], env=env)


@pytest.mark.parametrize(
    ("flags", "variable"), [(("--authority", "authority.yaml"), None), ((), "authority.yaml")], ids=["flag", "variable"]
)
def test_the_authority_names_the_policy(flags: tuple[str, ...], variable: str | None) -> None:
    result = explained(*flags, variable=variable)

    assert (result.exit_code, result.output.splitlines()[0]) == (0, "sidecar version is 7")


def test_without_one_the_service_says_so_itself() -> None:
    assert explained().output.splitlines()[0] == "sidecar version is 0"


def test_another_than_the_one_at_the_fixed_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = Path("authority.yaml").resolve()
    Path("mine.yaml").write_text("policy: {file: policy.yaml}\n")
    monkeypatch.setattr(module, "authority_file", lambda named: authority_file(named, fixed))

    result = explained("--authority", "mine.yaml")

    assert result.exit_code == 2
    assert f"--authority: must not name another authority than {fixed}" in result.output
