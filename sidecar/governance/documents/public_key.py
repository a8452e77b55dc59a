"""The keys a sidecar believes: public, of Ed25519, pinned by name in the sidecar file."""

import base64
import binascii
from typing import Annotated, Final, Self

from msgspec import Meta

KEY_BYTES = 32

_P: Final = 2**255 - 19
_ORDER_8: Final = 2707385501144840649318225287225658788936804267575313519463743609750303402022
"""The ordinate of a point of order 8; the other is its negative."""
_SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})
"""Ordinates y of the eight points of small order (RFC 8032 §5.1.7; libsodium refuses the same).

Of these a signature can be made without a private key: [8]P is the identity, whatever is signed.
"""

KeyName = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9._@-]{0,62}\Z",
        extra={"rule": "must be a name of at most 63 letters, digits, '.', '_', '@' and '-'"},
    ),
]
"""The name of a key in the sidecar file and in the lines of a signature file."""


class PublicKey(str):
    """32 bytes of Ed25519 (RFC 8032) in base64, as `sidecar policy keygen` prints them. It is its own text."""

    __slots__ = ()

    @classmethod
    def parse(cls, written: object) -> Self:
        """Read base64. Raises ValueError with the rule it breaks."""
        rule = "must be the 32 bytes of an Ed25519 public key in base64, as `sidecar policy keygen` prints them"
        if not isinstance(written, str):
            raise ValueError(rule)  # noqa: TRY004 - a rule of the document, like every other
        try:
            raw = base64.b64decode(written, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(rule) from None
        if len(raw) != KEY_BYTES or base64.b64encode(raw).decode() != written:
            raise ValueError(rule)
        if _ordinate(raw) in _SMALL_ORDER:
            raise ValueError("must not be a point of small order: anyone can sign for such a key")
        return cls(written)

    @property
    def raw(self) -> bytes:
        """The bytes."""
        return base64.b64decode(self)


def _ordinate(raw: bytes) -> int:
    """The y of an encoded point, without the sign of its x: also of encodings that are not the shortest."""
    return (int.from_bytes(raw, "little") & (2**255 - 1)) % _P
