import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft4Validator

from sidecar.cli import main
from sidecar.governance.documents.yaml import parse
from tests.review.descriptions import EXCEPTION, HEAD, RULES_FILE

ORACLES = Path(__file__).resolve().parents[2] / "oracles"
KEY = "{name: Idempotency-Key, in: header, required: true, schema: {type: string}}"
PROVEN = f"""{HEAD}paths:
  /payments:
    post:
      operationId: createPayment
      x-idempotency: {{strategy: key, retention: 24h}}
      parameters: [{KEY}]
      responses: {{"201": {{description: a}}, "409": {{description: b}}, "422": {{description: c}}}}
"""
MISSING = PROVEN.replace("      x-idempotency: {strategy: key, retention: 24h}\n", "")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def gate(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["gate", *arguments])


def git(*arguments: str) -> None:
    settings = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *settings, *arguments], check=True, capture_output=True)


def test_a_proven_description_is_exit_zero() -> None:
    write("api.yaml", PROVEN)

    result = gate("api.yaml")

    assert result.exit_code == 0
    assert "OpenAPI 3.1, 1 operation, 1 of them sensitive, 1 proven safe to repeat" in result.output
    assert "judged by config/gate.yaml (built in)" in result.output


def test_a_finding_is_exit_one_with_place_line_mending_and_page() -> None:
    write("api.yaml", MISSING)

    result = gate("api.yaml")

    assert result.exit_code == 1
    assert "api.yaml:5  POST /payments" in result.output
    assert "x-idempotency: {strategy: key, retention: 24h}, the header Idempotency-Key" in result.output
    assert "docs/gate/strategy-missing.md" in result.output
    assert "   5 │     post:" in result.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PROVEN.replace(KEY, "{$ref: '#/nothing'}"), "leads nowhere"),
        ("openapi: [\n", "is not YAML"),
        ("a: 1\n", "must be OpenAPI 3.0"),
    ],
)
def test_what_can_not_be_judged_is_exit_two(text: str, said: str) -> None:
    write("api.yaml", text)

    result = gate("api.yaml")

    assert result.exit_code == 2
    assert said in result.output


def test_a_file_that_is_not_there_is_exit_two() -> None:
    result = gate("gone.yaml")

    assert result.exit_code == 2
    assert "can not be read: No such file or directory" in result.output


def test_a_folder_stands_for_the_descriptions_in_it() -> None:
    write("apis/a.yaml", PROVEN)
    write("apis/b/b.yaml", MISSING)
    write("apis/values.yaml", "replicas: 1\n")

    result = gate("apis")

    assert result.exit_code == 1
    assert "1 finding in 2 documents" in result.output


def test_a_folder_without_descriptions_is_exit_two() -> None:
    write("apis/values.yaml", "replicas: 1\n")

    assert gate("apis").exit_code == 2


def test_the_rules_of_the_repository_count_before_the_built_in_ones() -> None:
    write("api.yaml", MISSING)
    write(
        "config/gate.yaml", RULES_FILE.read_text().replace("severities: {}  ", "severities: {strategy-missing: note}")
    )

    result = gate("api.yaml")

    assert result.exit_code == 0
    assert "0 findings and 1 note" in result.output


@pytest.mark.parametrize("rules", ["version: 1\n", "a: [\n"])
def test_rules_that_are_not_valid_are_exit_two(rules: str) -> None:
    write("api.yaml", PROVEN)
    write("rules.yaml", rules)

    result = gate("api.yaml", "--rules", "rules.yaml")

    assert result.exit_code == 2
    assert "the rules are not valid" in result.output


def test_an_exception_lives_as_of_the_day_that_is_asked_for() -> None:
    write("api.yaml", PROVEN.replace("{strategy: key, retention: 24h}", "{strategy: none}"))
    write("config/gate.yaml", RULES_FILE.read_text().replace("exceptions: []\n", EXCEPTION))

    assert gate("api.yaml", "--at", "2026-11-25").exit_code == 0
    assert gate("api.yaml", "--at", "2026-12-10").exit_code == 1


def test_a_baseline_of_a_commit_leaves_only_what_is_new() -> None:
    write(
        "apis/api.yaml",
        "openapi: 3.1.0\ninfo: {title: T, version: '1'}\npaths:\n  /payments: {$ref: 'paths.yaml#/pay'}\n",
    )
    write("apis/paths.yaml", "pay: {post: {operationId: pay, responses: {}}}\n")
    git("init", "-b", "main")
    git("add", ".")
    git("commit", "-m", "first")
    write(
        "apis/paths.yaml",
        "pay:\n  post: {operationId: pay, responses: {}}\n  patch: {operationId: amend, responses: {}}\n",
    )

    result = gate("apis/api.yaml", "--baseline", "main")

    assert result.exit_code == 1
    assert "PATCH /payments" in result.output
    assert "POST /payments" not in result.output
    assert "x-idempotency.review" in result.output


def test_a_description_that_the_baseline_does_not_have_is_all_new() -> None:
    write("other.yaml", PROVEN)
    git("init", "-b", "main")
    git("add", ".")
    git("commit", "-m", "first")
    write("api.yaml", MISSING)

    result = gate("api.yaml", "--baseline", "main")

    assert result.exit_code == 1
    assert "2 findings" in result.output


def test_a_baseline_can_be_a_file() -> None:
    write("old.yaml", MISSING)
    write("api.yaml", MISSING)

    assert gate("api.yaml", "--baseline", "old.yaml").exit_code == 0


@pytest.mark.parametrize(
    ("baseline", "said"),
    [("nowhere", "there is no such file"), ("broken.yaml", "the baseline can not be judged")],
)
def test_a_baseline_that_can_not_be_had_is_exit_two(baseline: str, said: str) -> None:
    write("api.yaml", PROVEN)
    write("broken.yaml", "openapi: [\n")

    result = gate("api.yaml", "--baseline", baseline)

    assert result.exit_code == 2
    assert said in result.output


def test_a_sign_off_is_checked_against_the_code_owners() -> None:
    review = ", review: {by: c.doe, date: 2026-11-01, link: 'https://reviews.example/1'}"
    write("apis/api.yaml", PROVEN.replace("retention: 24h", f"retention: 24h{review}"))
    write("CODEOWNERS", "/apis/ @a.lee\n")
    git("init", "-b", "main")

    result = gate("apis/api.yaml", "--at", "2026-11-24")

    assert result.exit_code == 1
    assert "must be an owner of apis/api.yaml in CODEOWNERS (@a.lee)" in result.output


def test_reports_are_those_of_the_policy_check_under_the_gates_name() -> None:
    write("api.yaml", MISSING)
    write("bad.yaml", "openapi: [\n")

    sarif = json.loads(gate("api.yaml", "bad.yaml", "--format", "sarif").output)
    junit = ElementTree.fromstring(gate("api.yaml", "--format", "junit").output)
    found = json.loads(gate("api.yaml", "--format", "json").output)
    github = gate("api.yaml", "--format", "github").output

    schema = json.loads((ORACLES / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))
    assert list(Draft4Validator(schema).iter_errors(sarif)) == []
    assert sarif["runs"][0]["tool"]["driver"]["name"] == "sidecar gate"
    assert [result["ruleId"] for result in sarif["runs"][0]["results"]] == ["strategy-missing", "unresolved"]
    assert junit.attrib["name"] == "sidecar gate"
    assert found["documents"][0]["kind"] == "description"
    assert (found["findings"][0]["id"], found["findings"][0]["line"]) == ("strategy-missing", 5)
    assert github.startswith("::error file=api.yaml,line=5,title=POST /payments::")


def test_the_route_table_is_written_when_nothing_is_wrong() -> None:
    write("api.yaml", PROVEN)

    result = gate("api.yaml", "--emit-routes", "routes.yaml")

    assert result.exit_code == 0
    table = parse(Path("routes.yaml").read_bytes(), "routes.yaml").value
    assert isinstance(table, dict)
    assert table["routes"][0]["match"] == {"methods": ["POST"], "path": "/payments"}


def test_the_route_table_is_not_written_when_something_is_wrong() -> None:
    write("api.yaml", MISSING)

    assert gate("api.yaml", "--emit-routes", "routes.yaml").exit_code == 1
    assert not Path("routes.yaml").exists()


def test_the_route_table_goes_to_standard_output_alone() -> None:
    write("api.yaml", PROVEN)

    result = gate("api.yaml", "--emit-routes", "-")

    assert result.stdout.startswith("# Written by `sidecar gate --emit-routes` from api.yaml.\n")
    assert parse(result.stdout.encode(), "routes.yaml").value is not None


def test_help_shows_files_and_commands() -> None:
    result = gate("--help")

    assert "sidecar gate [OPTIONS] OPENAPI..." in result.output
    assert "explain" in result.output
