"""`sidecar idempotency contract diff`: exit codes and words."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from sidecar.cli.idempotency.contract import contract
from sidecar.idempotency.partner_contract import partner_contract
from tests.fakes.key_gates import keyed_route


def written(file: Path, **terms: object) -> str:
    file.write_text(json.dumps(partner_contract([keyed_route(**terms)], 1 << 20)))  # type: ignore[arg-type]
    return str(file)


def diff(*arguments: str) -> Result:
    return CliRunner().invoke(contract, ["diff", *arguments])


def test_a_shorter_retention_is_breaking(tmp_path: Path) -> None:
    result = diff(written(tmp_path / "old"), written(tmp_path / "new", retention=3600.0))

    assert (result.exit_code, result.output) == (1, "breaking: pay: retention is 1h, was 24h\n")


def test_a_longer_retention_is_safe(tmp_path: Path) -> None:
    result = diff(written(tmp_path / "old"), written(tmp_path / "new", retention=172800.0), "--format", "json")

    assert result.exit_code == 0
    assert json.loads(result.output) == {
        "changes": [{"breaking": False, "route": "pay", "change": "retention is 48h, was 24h"}]
    }


def test_the_same_contract_differs_in_nothing(tmp_path: Path) -> None:
    file = written(tmp_path / "old")

    result = diff(file, file)

    assert (result.exit_code, result.output) == (0, "no difference\n")


def test_what_can_not_be_read_is_told(tmp_path: Path) -> None:
    good, bad = written(tmp_path / "good"), tmp_path / "bad"
    for content in ("nonsense", "[]", "{}"):
        bad.write_text(content)
        assert diff(good, str(bad)).exit_code == 2
    assert "can not be read" in diff(good, str(tmp_path / "none")).output
