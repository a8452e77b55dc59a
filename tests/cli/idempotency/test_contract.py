"""`sidecar idempotency contract diff`: exit codes and words."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from sidecar.cli.idempotency.contract import contract
from sidecar.governance.policy.partner_contract import ContractVersion, partner_contract
from tests.fakes.key_gates import keyed_route


def written(file: Path, number: int = 1, **terms: object) -> str:
    version = ContractVersion(7, number, 0)
    file.write_text(json.dumps(partner_contract([keyed_route(**terms)], 1 << 20, version)))  # type: ignore[arg-type]
    return str(file)


def diff(*arguments: str) -> Result:
    return CliRunner().invoke(contract, ["diff", *arguments])


def test_a_shorter_retention_is_breaking(tmp_path: Path) -> None:
    result = diff(written(tmp_path / "old"), written(tmp_path / "new", 2, retention=3600.0))

    assert (result.exit_code, result.output) == (1, "breaking: pay: retention is 1h, was 24h\n")


def test_a_longer_retention_is_safe(tmp_path: Path) -> None:
    result = diff(written(tmp_path / "old"), written(tmp_path / "new", 2, retention=172800.0), "--format", "json")

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


def test_other_terms_under_the_same_version_are_a_finding(tmp_path: Path) -> None:
    result = diff(written(tmp_path / "old"), written(tmp_path / "new", retention=172800.0))

    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "breaking: version must rise, for the terms are others: it is 7.1.0, was 7.1.0",
        "safe: pay: retention is 48h, was 24h",
    ]


SIDECAR = """\
service: pay
policy: {file: policy.yaml}
ingress:
  listen: "127.0.0.1:16006"
  app: "http://127.0.0.1:8080"
  contract: {version: 3}
  idempotency: {store: {memory: volatile}}
  routes: [{name: pay, match: {methods: [POST], path: /pay}, class: at_most_once}]
"""


def test_the_contract_of_documents_is_printed_as_a_sidecar_would_publish_it(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 7\nowner: platform\n")
    (tmp_path / "sidecar.yaml").write_text(SIDECAR)

    result = CliRunner().invoke(contract, ["show", "--config", str(tmp_path / "sidecar.yaml")])

    assert result.exit_code == 0, result.output
    printed = json.loads(result.output)
    assert (printed["version"], printed["form"]) == ("7.3.0", 1)
    assert [route["name"] for route in printed["routes"]] == ["pay"]


def test_a_sidecar_file_without_ingress_has_no_contract(tmp_path: Path) -> None:
    (tmp_path / "sidecar.yaml").write_text("service: pay\n")

    result = CliRunner().invoke(contract, ["show", "--config", str(tmp_path / "sidecar.yaml")])

    assert result.exit_code == 2
    assert "has no ingress" in result.output
