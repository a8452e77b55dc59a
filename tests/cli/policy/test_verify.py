import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli.policy.verify import verify
from tests.fakes.signers import pinned, signed

CONTENT = b"version: 7\nowner: platform\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_bytes(CONTENT)
    (tmp_path / "policy.yaml.sig").write_bytes(signed(CONTENT, "ann", "bob"))
    return tmp_path / "policy.yaml"


def sidecar_file(folder: Path, *names: str, required: int) -> Path:
    keys = ", ".join(f'{name}: "{key}"' for name, key in pinned(*names).items())
    file = folder / "sidecar.yaml"
    file.write_text(f"service: checkout\npolicy: {{file: policy.yaml, keys: {{{keys}}}, required: {required}}}\n")
    return file


def run(policy: Path, *arguments: object) -> Result:
    return CliRunner().invoke(verify, [str(policy), *map(str, arguments)])


def test_enough_of_the_keys_that_a_sidecar_file_pins(policy: Path) -> None:
    result = run(policy, "--keys", sidecar_file(policy.parent, "ann", "bob", "cyd", required=2))

    assert (result.exit_code, result.output) == (0, f"{policy}: signed by ann, bob\n")


def test_too_few_of_them_are_exit_one_and_named(policy: Path) -> None:
    file = sidecar_file(policy.parent, "ann", "cyd", required=2)

    result = run(policy, "--keys", file)
    less = run(policy, "--keys", file, "--required", 1)

    assert result.exit_code == 1
    assert f"{policy}: must be signed by 2 of ann, cyd, got 1: 'ann' (valid), 'bob' (not pinned)" in result.output
    assert less.exit_code == 0


def test_a_changed_policy_and_one_without_signature_are_exit_one(policy: Path) -> None:
    file = sidecar_file(policy.parent, "ann", required=1)
    policy.write_bytes(CONTENT + b"\n")
    changed = run(policy, "--keys", file)
    policy.with_name("policy.yaml.sig").unlink()
    unsigned = run(policy, "--keys", file)

    assert (changed.exit_code, unsigned.exit_code) == (1, 1)
    assert "not of these bytes" in changed.output
    assert "there is no .sig file" in unsigned.output


def test_what_can_not_be_judged_is_exit_two(policy: Path) -> None:
    file = sidecar_file(policy.parent, "ann", required=1)
    nothing = policy.parent / "none.yaml"
    nothing.write_text("service: checkout\n")

    results = [
        run(policy, "--keys", nothing),
        run(policy, "--keys", policy.parent / "gone.yaml"),
        run(policy, "--keys", file, "--required", 2),
        run(policy),
        run(policy.parent / "gone", "--keys", file),
    ]

    assert [result.exit_code for result in results] == [2] * 5
    assert "the file pins no keys" in results[0].output
    assert "--required: must be at most the number of keys (1), got 2" in results[2].output


def test_keygen_sign_and_verify_fit_together(tmp_path: Path) -> None:
    """The three commands, as somebody types them."""

    def sidecar(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "sidecar", "policy", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20)

    (tmp_path / "policy.yaml").write_bytes(CONTENT)
    made = sidecar("keygen", "ann")
    done = sidecar("sign", "policy.yaml", "--key", "ann.key")
    by_public_key = sidecar("verify", "policy.yaml", "--keys", "ann.pub")
    (tmp_path / "sidecar.yaml").write_text(f"service: checkout\npolicy:\n  file: policy.yaml\n  {made.stdout}")
    by_sidecar_file = sidecar("verify", "policy.yaml", "--keys", "sidecar.yaml")

    assert [made.returncode, done.returncode, by_public_key.returncode, by_sidecar_file.returncode] == [0] * 4
    assert by_sidecar_file.stdout == "policy.yaml: signed by ann\n"
