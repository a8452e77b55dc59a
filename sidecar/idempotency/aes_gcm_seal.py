"""Kept answers encrypted with AES-256-GCM (NIST SP 800-38D), by keys from a file. Needs the extra `signed`.

The first key of the file encrypts, all of them decrypt: a key is rotated by putting the new one behind the others, then
before them, and by taking the old one out when nothing is kept any more that it has encrypted.
"""

import base64
import binascii
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sidecar.idempotency.answer import UnreadableAnswer

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32
MOST_KEYS: Final = 16
"""In one file: an answer that none of them opens costs as many attempts."""


class AesGcmSeal:
    """Implements `answer.AnswerSeal`. The nonce stands before the text; the record's key is authenticated with it."""

    def __init__(self, *keys: bytes) -> None:
        """`keys` are 32 bytes each; the first one encrypts."""
        self._ciphers = tuple(AESGCM(key) for key in keys)

    def seal(self, answer: bytes, key: bytes) -> bytes:
        """See `answer.AnswerSeal`."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, answer, key)

    def open(self, stored: bytes, key: bytes) -> bytes:
        """See `answer.AnswerSeal`."""
        for cipher in self._ciphers:
            with suppress(InvalidTag, ValueError):
                return cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], key)
        raise UnreadableAnswer("encrypted with a key that is not in the key file, or damaged")


def read_seal(file: Path) -> AesGcmSeal:
    """The seal by the keys in `file`: a line each, 32 bytes in base64; what follows `#` in a line is a comment.

    Raises ValueError, its text one line, and OSError.
    """
    lines = [line.partition(b"#")[0].strip() for line in file.read_bytes().split(b"\n")]
    keys = [_key_of(line, file, number) for number, line in enumerate(lines, 1) if line]
    if not keys:
        raise ValueError(f"{file}: must hold 32 bytes in base64, a line for each key")
    if len(keys) > MOST_KEYS:
        raise ValueError(f"{file}: must hold at most {MOST_KEYS} keys, has {len(keys)}")
    _refuse_twice(keys, file)
    return AesGcmSeal(*keys)


def _key_of(line: bytes, file: Path, number: int) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{file}:{number}: must hold {_KEY_BYTES} bytes in base64")
    return key


def _refuse_twice(keys: Sequence[bytes], file: Path) -> None:
    if len(set(keys)) != len(keys):
        raise ValueError(f"{file}: must hold each key once")
