"""`sidecar report`: from a saved document, by times as people write them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli.report import report
from tests.admin.scenery import storm
from tests.watch.documents import BEGAN, content_of


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("saved") / "document.json"
    file.write_bytes(content_of(storm(90, after=20)))
    return file


def at(second: float) -> str:
    return datetime.fromtimestamp(BEGAN + second, UTC).isoformat()


def test_a_page_is_written_for_the_time_that_was_asked(saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "incident.html"

    result = CliRunner().invoke(report, [at(0), at(90), "--from-file", str(saved), "--utc", "-o", str(file)])

    assert (result.exit_code, result.output) == (0, f"written to {file}\n")
    assert "payments was in trouble" in file.read_text()
    assert "14:13:20 \N{EN DASH} 14:14:50" in file.read_text()


def test_connections_past_the_sidecar_are_told_since_no_figure_has_them(saved: Path, tmp_path: Path) -> None:
    document = json.loads(saved.read_bytes())
    name = document["destinations"][0]["name"]
    file = tmp_path / "saved.json"
    file.write_text(json.dumps({**document, "bypassing": {name: 3}}))

    result = CliRunner().invoke(report, [at(0), at(90), "--from-file", str(file), "-o", "-"])

    told = f"3 open connections of the service go straight to {name}, past the sidecar"
    assert result.exit_code == 0
    assert told in result.output
    assert told not in CliRunner().invoke(report, [at(0), at(90), "--from-file", str(saved), "-o", "-"]).output


def test_another_time_is_another_story(saved: Path) -> None:
    result = CliRunner().invoke(report, [at(0), at(40), "--from-file", str(saved), "-o", "-"])

    assert result.exit_code == 0
    assert "was well" in result.output


def test_only_the_destination_that_was_asked_for(saved: Path) -> None:
    arguments = [at(0), at(90), "--from-file", str(saved), "-o", "-", "--destination"]

    assert "payments" not in CliRunner().invoke(report, [*arguments, "ledger"]).output
    missing = CliRunner().invoke(report, [*arguments, "nobody"])
    assert (missing.exit_code, missing.stderr) == (
        2,
        "sidecar report: --destination: nothing was asked of nobody then\n",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["yesterday"], "like 2026-11-24T09:30:00Z, got 'yesterday'"),
        (["-10"], "like 250ms, 2s, 1m or 24h, got '-10'"),
        (["now", "-10m"], "FROM must be before TO"),
        (["-10m", "now"], "has nothing of that time: it has kept 2026-09-21T14:13:21+00:00 to"),
    ],
)
def test_times_that_make_no_sense_are_one_line_and_code_2(saved: Path, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(report, [*arguments, "--from-file", str(saved), "-o", "-"])

    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_a_sidecar_that_is_not_there_is_one_line_and_code_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(report, ["--admin", "127.0.0.1:9", "-o", str(tmp_path / "x.html")])

    assert result.exit_code == 2
    assert result.stderr == "sidecar report: no sidecar answers at http://127.0.0.1:9/: Connection refused\n"


def test_a_file_that_can_not_be_written_is_one_line_and_code_2(saved: Path, tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "x.html"

    result = CliRunner().invoke(report, [at(0), at(90), "--from-file", str(saved), "-o", str(target)])

    assert (result.exit_code, result.stderr) == (2, f"sidecar report: {target}: No such file or directory\n")
