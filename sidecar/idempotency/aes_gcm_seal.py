"""Kept answers encrypted with AES-256-GCM (NIST SP 800-38D), by a key from a file. Needs the extra `signed`."""

import base64
import binascii
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sidecar.idempotency.answer import UnreadableAnswer

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class AesGcmSeal:
    """Implements `answer.AnswerSeal`. The nonce stands before the text; the record's key is authenticated with it."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, answer: bytes, key: bytes) -> bytes:
        """See `answer.AnswerSeal`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, answer, key)

    def open(self, stored: bytes, key: bytes) -> bytes:
        """See `answer.AnswerSeal`."""
        try:
            return self._cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], key)
        except (InvalidTag, ValueError):
            raise UnreadableAnswer("encrypted with another key, or damaged") from None


def read_seal(file: Path) -> AesGcmSeal:
    """The seal by the key in `file`: 32 bytes in base64. Raises ValueError, its text one line, and OSError."""
    try:
        key = base64.b64decode(file.read_bytes().strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{file}: must hold {_KEY_BYTES} bytes in base64")
    return AesGcmSeal(key)
