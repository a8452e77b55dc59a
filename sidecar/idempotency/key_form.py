"""The form in which a destination takes idempotency keys: how long, of which characters, quoted or bare."""

import os
import re
from importlib import import_module
from typing import Any, Final

_UUID_CHARACTERS: Final = 36
_NAMESPACE: Final = bytes.fromhex("5f0a3c3e7a0e5c559c1a3f6d7f1f2a40")
"""Of the keys that are made from values too long for the destination, or of other characters (RFC 9562 §5.5)."""
_FITTING: Final = {
    "visible": re.compile(rb"[!-~]+"),
    "url": re.compile(rb"[A-Za-z0-9_-]+"),
    "alphanumeric": re.compile(rb"[A-Za-z0-9]+"),
    "uuid": re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
}
DIGESTED: Final = (
    b"content-digest",
    b"content-md5",
    b"digest",
    b"repr-digest",
    b"signature-input",
    b"x-amz-content-sha256",
)
"""Fields that say what the body is: it is not changed behind their back."""


class KeyForm:
    """One destination's. `max_length` is in characters, those of a quoted key's quotes not counted."""

    __slots__ = ("_charset", "_max_length", "_quoted", "_short")

    def __init__(self, *, quoted: bool = False, max_length: int = 255, charset: str = "visible") -> None:
        """`charset` is a word of `governance.documents.key_presets.KeyCharset`."""
        self._quoted = quoted
        self._max_length = max_length
        self._charset = charset
        self._short = max_length < _UUID_CHARACTERS or charset == "alphanumeric"

    def made_of(self, value: bytes) -> bytes:
        """The key made from `value`: itself where the destination takes it, else a UUID of it; b"": one at random."""
        if value and len(value) <= self._max_length and _FITTING[self._charset].fullmatch(value):
            return value
        if value:
            name = value.decode("latin-1").encode("utf-8")
            hashlib: Any = import_module("hashlib")  # as much of a client's import as all of this package
            uuid = _uuid(hashlib.sha1(_NAMESPACE + name, usedforsecurity=False).digest(), 0x50)
        else:
            uuid = _uuid(os.urandom(16), 0x40)
        return (uuid.replace("-", "") if self._short else uuid).encode("ascii")

    def field_value(self, key: bytes) -> bytes:
        """The key as the value of a header."""
        if not self._quoted:
            return key
        return b'"' + key.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _uuid(octets: bytes, version: int) -> str:
    """A UUID (RFC 9562 §4) of the first 16 octets. The module of that name is 4 of the 35 ms of a client's import."""
    text = bytearray(octets[:16])
    text[6] = text[6] & 0x0F | version
    text[8] = text[8] & 0x3F | 0x80
    digits = text.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
