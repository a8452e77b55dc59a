"""From when until when the certificates of a PEM file are valid, read from their own bytes (RFC 5280 §4.1.2.5).

The standard library shows this of authorities and of peers only, and a whole library of cryptography is an extra.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_LABELS: Final = (b"CERTIFICATE", b"TRUSTED CERTIFICATE")
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


@dataclass(frozen=True, slots=True)
class Validity:
    """Of one certificate; aware times."""

    begins: datetime
    ends: datetime


def validities(pem: bytes) -> list[Validity]:
    """Of each certificate in the file, in its order; those that can not be read are left out."""
    found = []
    for block in _certificates(pem):
        try:
            found.append(_validity(base64.b64decode(block, validate=False)))
        except (binascii.Error, ValueError, IndexError):
            continue
    return found


def _certificates(pem: bytes) -> Iterator[bytes]:
    """The base64 of each (RFC 7468 §2), in one pass over the file."""
    for part in pem.split(b"-----BEGIN ")[1:]:
        label, _, rest = part.partition(b"-----")
        body, end, _ = rest.partition(b"-----END ")
        if label in _LABELS and end:
            yield body


def _validity(der: bytes) -> Validity:
    _, certificate, _ = _element(der)
    _, body, _ = _element(certificate)
    tag, _, rest = _element(body)
    fields = 3 if tag == _VERSION else 2  # version (optional), serial number, signature algorithm, issuer, validity
    for _ in range(fields):
        _, _, rest = _element(rest)
    tag, life, _ = _element(rest)
    if tag != _SEQUENCE:
        raise ValueError("no validity")
    begins, rest = _time(life)
    ends, _ = _time(rest)
    return Validity(begins, ends)


def _time(der: bytes) -> tuple[datetime, bytes]:
    tag, content, rest = _element(der)
    text = content.decode("ascii").removesuffix("Z")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC), rest


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content, and what follows."""
    tag, length, at = der[0], der[1], 2
    if length & 0x80:
        at += length & 0x7F
        length = int.from_bytes(der[2:at], "big")
    if at + length > len(der):
        raise ValueError("cut")
    return tag, der[at : at + length], der[at + length :]
