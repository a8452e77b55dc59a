import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main
from tests.fakes.documents import POLICY, SIDECAR


def check(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["policy", "check", *arguments])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def test_nothing_wrong_is_exit_zero() -> None:
    write("policy.yaml", POLICY)

    result = check("policy.yaml")

    assert result.exit_code == 0
    assert "0 findings in 1 document" in result.output


def test_a_finding_is_exit_one() -> None:
    write("policy.yaml", POLICY + "via: 1\n")

    result = check("policy.yaml")

    assert result.exit_code == 1
    assert "policy.yaml:3  via" in result.output


def test_a_directory_stands_for_the_documents_in_it_and_below() -> None:
    write("all/policy.yaml", POLICY)
    write("all/teams/checkout/sidecar.yml", SIDECAR)
    write("all/.github/workflow.yaml", "version: x\nowner: 1\n")
    write("all/compose.yaml", "services: {}\n")
    write("all/notes.txt", "version: x")

    result = check("all", "--format", "json")

    kinds = {document["file"]: document["kind"] for document in json.loads(result.output)["documents"]}
    assert result.exit_code == 0
    assert kinds == {
        "all/policy.yaml": "policy",
        "all/teams/checkout/sidecar.yml": "sidecar",
        "all/compose.yaml": "other",
    }


def test_a_file_named_twice_is_judged_once() -> None:
    write("policy.yaml", POLICY)

    result = check("policy.yaml", "./policy.yaml", ".", "--format", "json")

    assert len(json.loads(result.output)["documents"]) == 1


@pytest.mark.parametrize("form", ["text", "json", "sarif", "junit", "github"])
def test_a_file_that_can_not_be_read_is_exit_two_and_what_could_be_judged_is_reported(form: str) -> None:
    write("policy.yaml", POLICY + "via: 1\n")

    result = check("policy.yaml", "gone.yaml", "--format", form)

    assert result.exit_code == 2
    assert "gone.yaml: can not be read: No such file or directory" in result.stderr
    assert "must be true or false" in result.stdout
    assert "Traceback" not in result.output


def test_a_directory_without_documents_is_never_a_pass() -> None:
    write("docs/notes.txt", "")
    write("other/compose.yaml", "services: {}\n")

    assert (check("docs").exit_code, check("other").exit_code) == (2, 2)
    assert "neither a policy nor a sidecar file to judge" in check("other").stderr


@pytest.mark.parametrize("arguments", [[], ["x.yaml", "--format", "xml"], ["x.yaml", "--at", "tomorrow"]])
def test_bad_flags_are_exit_two(arguments: list[str]) -> None:
    assert check(*arguments).exit_code == 2


def test_it_can_be_asked_what_will_be() -> None:
    write("policy.yaml", POLICY)
    assert check("policy.yaml", "--at", "2030-01-01").exit_code == 0
