"""Ed25519 (RFC 8032) by `cryptography`, which is an extra: import this module by name and late, as `signature` does."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)


def generate() -> tuple[bytes, bytes]:
    """A new key pair: the private key as PKCS #8 and the public one as SPKI, both in PEM."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sign(pem: bytes, message: bytes) -> bytes:
    """The signature of a private key in PEM. Raises ValueError when it is no such key."""
    return _private(pem).sign(message)


def public_bytes(pem: bytes) -> bytes:
    """The 32 bytes of a public key in PEM, or of the public part of a private one. Raises ValueError."""
    if b"PRIVATE KEY" in pem:
        key = _private(pem).public_key()
    else:
        try:
            loaded = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError("must be an Ed25519 key in PEM") from None
        if not isinstance(loaded, Ed25519PublicKey):
            raise ValueError("must be an Ed25519 key in PEM")
        key = loaded
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _private(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("must be a key without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("must be an Ed25519 private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("must be an Ed25519 private key in PEM")  # noqa: TRY004 - wrong content, not a wrong type
    return key
