import json
import sys

import pytest
from click.testing import CliRunner

from sidecar.cli.vectors import vectors
from sidecar.vectors.case import load_cases


def test_the_cases_are_listed_with_their_sentences() -> None:
    result = CliRunner().invoke(vectors, ["list"])

    assert result.exit_code == 0
    assert len(result.output.splitlines()) == len(load_cases())


def test_the_cases_are_to_be_had_as_json() -> None:
    result = CliRunner().invoke(vectors, ["list", "--json"])

    assert [case["name"] for case in json.loads(result.output)] == [case.name for case in load_cases()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nope", "--", "true"], "must name a case"),
        (["--only", "a_good_answer", "--", "true"], "it wrote 0 lines for 1 calls"),
        (["--only", "a_good_answer", "--", "/nowhere"], "can not be started"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(vectors, ["run", *arguments])

    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.splitlines()) == 1


def test_a_client_that_does_otherwise_is_exit_code_1() -> None:
    talker = 'print(\'{"outcome": "answer", "status": 500}\')'

    result = CliRunner().invoke(vectors, ["run", "--only", "a_good_answer", "--", sys.executable, "-c", talker])

    assert result.exit_code == 1
    assert "FAIL  a_good_answer" in result.output
    assert "0 of 1 cases passed" in result.output
