"""`sidecar idempotency show`: its help; what it does is tested with a running sidecar, in test_admin_call.py."""

from click.testing import CliRunner

from sidecar.cli.idempotency.show import show


def test_its_help_names_the_admin_plane_and_its_token() -> None:
    result = CliRunner().invoke(show, ["--help"])

    assert result.exit_code == 0
    assert "--token-file" in result.output
    assert "--admin" in result.output
