import shutil
import subprocess
from pathlib import Path

import pytest

from sidecar.governance.trust import ed25519
from sidecar.governance.trust.verification import is_signed


def test_a_signature_is_of_one_key_and_one_message() -> None:
    private, public = ed25519.generate()
    other = ed25519.public_bytes(ed25519.generate()[1])
    raw = ed25519.public_bytes(public)
    signature = ed25519.sign(private, b"message")

    assert is_signed(raw, signature, b"message")
    assert not is_signed(raw, signature, b"massage")
    assert not is_signed(other, signature, b"message")


def test_a_private_key_holds_its_public_one() -> None:
    private, public = ed25519.generate()

    assert ed25519.public_bytes(private) == ed25519.public_bytes(public)


def test_what_is_no_key_signs_nothing_and_is_named() -> None:
    assert not is_signed(b"short", b"x" * 64, b"message")
    with pytest.raises(ValueError, match="must be an Ed25519 private key in PEM"):
        ed25519.sign(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"message")
    with pytest.raises(ValueError, match="must be an Ed25519 key in PEM"):
        ed25519.public_bytes(b"nothing")


@pytest.mark.parametrize("algorithm", ["RSA", "X25519"])
def test_a_key_of_another_kind_is_refused(algorithm: str, tmp_path: Path) -> None:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("openssl is not installed")
    file = tmp_path / "key.pem"
    subprocess.run([openssl, "genpkey", "-algorithm", algorithm, "-out", file], check=True, capture_output=True)

    with pytest.raises(ValueError, match="must be an Ed25519 private key in PEM"):
        ed25519.sign(file.read_bytes(), b"message")


def test_keys_made_by_openssl_are_keys(tmp_path: Path) -> None:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("openssl is not installed")
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run([openssl, "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)

    signature = ed25519.sign(private.read_bytes(), b"message")

    assert is_signed(ed25519.public_bytes(public.read_bytes()), signature, b"message")


def test_a_key_behind_a_passphrase_is_named(tmp_path: Path) -> None:
    if not (openssl := shutil.which("openssl")):
        pytest.skip("openssl is not installed")
    file = tmp_path / "key.pem"
    command = [openssl, "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret", "-out", file]
    subprocess.run(command, check=True, capture_output=True)

    with pytest.raises(ValueError, match="must be a key without a passphrase"):
        ed25519.sign(file.read_bytes(), b"message")
