from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli.policy.sign import sign
from sidecar.governance.trust.signature import POLICY, read, require
from tests.fakes.signers import pinned, signed, signer

CONTENT = b"version: 7\nowner: platform\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_bytes(CONTENT)
    for name in ("ann", "bob"):
        (tmp_path / f"{name}.key").write_bytes(signer(name).private)
    return tmp_path / "policy.yaml"


def run(policy: Path, name: str, *more: str) -> Result:
    return CliRunner().invoke(sign, [str(policy), "--key", str(policy.parent / f"{name}.key"), *more])


def beside(policy: Path) -> Path:
    return policy.with_name("policy.yaml.sig")


def test_each_signs_in_turn(policy: Path) -> None:
    results = [run(policy, "ann"), run(policy, "bob")]

    assert [result.exit_code for result in results] == [0, 0]
    assert results[0].output == f"{beside(policy)}: version 7 signed by ann\n"
    valid = require(POLICY, CONTENT, beside(policy).read_bytes(), "policy.yaml", pinned("ann", "bob"), 2)
    assert valid == ("ann", "bob")


def test_who_signs_again_replaces_his_own_line_only(policy: Path) -> None:
    run(policy, "ann")
    run(policy, "bob")
    policy.write_bytes(CONTENT.replace(b"7", b"8"))

    run(policy, "ann")

    lines = read(beside(policy).read_bytes(), "sig")
    assert [line.key for line in lines] == ["bob", "ann"]
    assert lines[0] == signer("bob").sign(CONTENT)
    assert lines[1] == signer("ann").sign(CONTENT.replace(b"7", b"8"))


def test_the_name_of_the_key_can_be_said(policy: Path) -> None:
    run(policy, "ann", "--key-id", "ann-2026")

    assert read(beside(policy).read_bytes(), "sig")[0].key == "ann-2026"


def test_a_policy_with_a_mistake_is_not_signed(policy: Path) -> None:
    policy.write_bytes(CONTENT + b"via: yes\n")

    result = run(policy, "ann")

    assert result.exit_code == 1
    assert f"{policy}:3: via: must be true or false" in result.output
    assert not beside(policy).exists()


def test_what_can_not_be_read_is_one_line(policy: Path) -> None:
    lacking = run(policy, "eve")
    policy.unlink()
    gone = run(policy, "ann")

    assert (lacking.exit_code, gone.exit_code) == (2, 2)
    assert "eve.key: can not be read: No such file or directory" in lacking.output
    assert f"{policy}: can not be read: No such file or directory" in gone.output


def test_a_key_that_is_none_and_a_signature_file_that_is_none_are_one_line(policy: Path) -> None:
    (policy.parent / "ann.key").write_text("nothing")
    no_key = run(policy, "ann")
    beside(policy).write_bytes(signed(CONTENT, "ann")[:-20])
    torn = run(policy, "bob")

    assert (no_key.exit_code, torn.exit_code) == (2, 2)
    assert "ann.key: must be an Ed25519 private key in PEM" in no_key.output
    assert "policy.yaml.sig:1: must be a line like" in torn.output
