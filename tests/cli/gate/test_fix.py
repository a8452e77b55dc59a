from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main
from tests.cli.gate.test_check import MISSING


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("api.yaml").write_text(MISSING)
    return tmp_path


def gate(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["gate", *arguments])


def test_what_a_finding_asks_for_is_written_and_passes() -> None:
    assert gate("api.yaml").exit_code == 1

    result = gate("fix", "api.yaml", "--operation", "createPayment", "--strategy", "key")

    assert result.exit_code == 0
    assert "+      x-idempotency: {strategy: key, retention: 24h}" in result.output
    assert gate("api.yaml").exit_code == 0


def test_a_difference_can_be_looked_at_first() -> None:
    result = gate("fix", "api.yaml", "--operation", "createPayment", "--strategy", "key", "--diff")

    assert "+      x-idempotency" in result.output
    assert Path("api.yaml").read_text() == MISSING


def test_an_operation_that_has_everything_is_said_to() -> None:
    for _ in range(2):
        result = gate("fix", "api.yaml", "--operation", "createPayment", "--strategy", "key")

    assert result.output == "createPayment has all that key needs\n"


@pytest.mark.parametrize(
    ("file", "operation", "said"),
    [
        ("api.yaml", "nothing", "has no operation called nothing"),
        ("gone.yaml", "createPayment", "can not be read: No such file"),
        ("broken.yaml", "createPayment", "not valid:\nbroken.yaml:2: is not YAML"),
    ],
)
def test_what_can_not_be_done_is_exit_two(file: str, operation: str, said: str) -> None:
    Path("broken.yaml").write_text("a: [\n")

    result = gate("fix", file, "--operation", operation, "--strategy", "key")

    assert result.exit_code == 2
    assert said in result.output
