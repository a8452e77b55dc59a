from click.testing import CliRunner

from sidecar.cli import main


def test_a_finding_is_explained_where_its_repository_is_not_at_hand() -> None:
    result = CliRunner().invoke(main, ["gate", "explain", "key-parameter"])

    assert result.exit_code == 0
    assert result.output.startswith("# key-parameter\n")


def test_an_unknown_finding_is_exit_two() -> None:
    assert CliRunner().invoke(main, ["gate", "explain", "magic"]).exit_code == 2
