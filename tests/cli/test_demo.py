from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.cli.demo import demo


@pytest.mark.parametrize("flag", ["--json", "--incident"])
def test_a_report_into_no_folder_is_one_line_and_code_2(tmp_path: Path, flag: str) -> None:
    missing = tmp_path / "nowhere" / "figures"

    result = CliRunner().invoke(demo, [flag, str(missing)])

    assert result.exit_code == 2
    assert result.stderr == f"sidecar demo: {flag}: {missing.parent} is not a directory\n"
    assert result.stdout == ""


def test_the_incident_of_a_storm_that_is_not_played_is_one_line_and_code_2(tmp_path: Path) -> None:
    result = CliRunner().invoke(demo, ["--charges", "--incident", str(tmp_path / "incident.html")])

    assert result.exit_code == 2
    assert result.stderr == "sidecar demo: --incident: is of the storm, which --charges does not play\n"


@pytest.mark.parametrize("port", ["0", "65536", "admin"])
def test_a_port_that_is_none_is_code_2(port: str) -> None:
    result = CliRunner().invoke(demo, ["--admin-port", port])

    assert result.exit_code == 2
    assert "--admin-port" in result.stderr


def test_the_help_says_what_it_does_and_how_long_it_takes() -> None:
    result = CliRunner().invoke(demo, ["--help"])

    assert result.exit_code == 0
    assert "about 40 seconds" in result.output
    flags = {"--charges", "--keep", "--fast", "--json", "--incident", "--seed", "--admin-port"}
    assert flags <= set(result.output.split())
