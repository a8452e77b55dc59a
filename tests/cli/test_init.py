"""What is written to begin with is a working configuration, and what it says next works."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import main


def init(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["init", *arguments])


def test_the_next_command_that_it_says_finds_nothing_wrong(tmp_path: Path) -> None:
    result = init(str(tmp_path / "new"), "--service", "checkout", "--upstream", "payments=http://127.0.0.1:9001")
    said = re.findall(r"^Next: +sidecar (.*)$", result.output, re.MULTILINE)

    checked = CliRunner().invoke(main, shlex.split(said[0]))

    assert result.exit_code == 0
    assert checked.exit_code == 0, checked.output


def test_both_files_say_in_comments_what_each_part_is_for(tmp_path: Path) -> None:
    init(str(tmp_path))

    for name in ("sidecar.yaml", "policy.yaml"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.startswith("# ")
        assert text.count("#") > 6


def test_each_upstream_is_a_destination_with_a_port_of_its_own(tmp_path: Path) -> None:
    init(
        str(tmp_path),
        "--upstream",
        "payments=http://a:1",
        "--upstream",
        "ledger=https://b",
        "--upstream",
        "payments=http://c:2",
    )

    text = (tmp_path / "sidecar.yaml").read_text(encoding="utf-8")
    checked = CliRunner().invoke(main, ["policy", "check", str(tmp_path)])

    assert 'endpoints: ["http://a:1", "http://c:2"]' in text
    assert re.findall(r"127\.0\.0\.1:161\d\d", text) == ["127.0.0.1:16101", "127.0.0.1:16102"]
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("name", ["sidecar.yaml", "policy.yaml"])
def test_what_is_there_already_is_not_written_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")

    result = init(str(tmp_path))

    assert result.exit_code == 2
    assert f"{tmp_path / name}: is there already" in result.output
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_bad_upstream_is_one_line_that_names_the_flag(tmp_path: Path) -> None:
    result = init(str(tmp_path), "--upstream", "payments")

    assert result.exit_code == 2
    assert result.output.startswith("--upstream: ")
    assert list(tmp_path.iterdir()) == []
