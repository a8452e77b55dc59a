import stat
from pathlib import Path

from click.testing import CliRunner

from sidecar.cli.policy.keygen import keygen
from sidecar.governance.documents.public_key import PublicKey
from sidecar.governance.trust import ed25519


def test_a_pair_is_made_and_its_line_printed(tmp_path: Path) -> None:
    result = CliRunner().invoke(keygen, ["ann-2026", "--directory", str(tmp_path)])

    private, public = (tmp_path / "ann-2026.key").read_bytes(), (tmp_path / "ann-2026.pub").read_bytes()
    assert result.exit_code == 0
    assert ed25519.public_bytes(private) == ed25519.public_bytes(public)
    written = result.stdout.split('"')[1]
    assert PublicKey.parse(written).raw == ed25519.public_bytes(public)
    assert result.stdout.startswith("keys: {ann-2026: ")


def test_only_its_owner_may_read_the_private_key(tmp_path: Path) -> None:
    CliRunner().invoke(keygen, ["ann", "--directory", str(tmp_path)])

    assert stat.S_IMODE((tmp_path / "ann.key").stat().st_mode) == 0o600


def test_no_key_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "ann.pub").write_text("mine")

    result = CliRunner().invoke(keygen, ["ann", "--directory", str(tmp_path)])

    assert result.exit_code == 2
    assert "is there already" in result.output
    assert (tmp_path / "ann.pub").read_text() == "mine"
    assert not (tmp_path / "ann.key").exists()


def test_a_name_that_can_not_be_pinned_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(keygen, ["../ann", "--directory", str(tmp_path)])

    assert result.exit_code == 2
    assert result.output.startswith("NAME: must be a name of at most 63")
    assert list(tmp_path.iterdir()) == []
