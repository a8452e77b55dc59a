"""`sidecar idempotency resolve`: its help; what it does is tested with a running sidecar, in test_admin_call.py."""

from click.testing import CliRunner

from sidecar.cli.idempotency.resolve import resolve


def test_its_help_names_the_admin_plane_and_its_token() -> None:
    result = CliRunner().invoke(resolve, ["--help"])

    assert result.exit_code == 0
    assert "--token-file" in result.output
    assert "--admin" in result.output
