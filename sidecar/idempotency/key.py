"""The key of a request, read leniently: the draft's quoted string, or bare printable ASCII.

draft-ietf-httpapi-idempotency-key-header-07 §2.1 has a Structured Field String (RFC 8941 §3.3.3); most of the field
sends bare words. `"abc"` and `abc` are one key.
"""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final

MAX_KEY_CHARACTERS: Final = 255

_QUOTED: Final = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE: Final = re.compile(rb"[!#-~](?:[ !#-~]*[!#-~])?")
_ESCAPED: Final = re.compile(rb"\\(.)")


class MalformedKey(ValueError):
    """A key that can not be used; the text says why, without the key."""


def parse_key(values: Sequence[bytes]) -> bytes | None:
    """The key that these field lines carry; None when there are none.

    Raises MalformedKey: empty, too long, not printable ASCII, or given twice with different values.
    """
    keys = {_parse(value.strip(b" \t")) for value in values}
    if len(keys) > 1:
        raise MalformedKey("the key is given twice, with different values")
    return keys.pop() if keys else None


def text_key(value: object) -> bytes:
    """The key in a value of a JSON body: a string, or a whole number. Raises MalformedKey."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise MalformedKey("the key is neither a string nor a whole number")
    try:
        return _checked(str(value).encode("ascii"))
    except UnicodeEncodeError:
        raise MalformedKey("the key is not printable ASCII") from None


def field_values(fields: bytes, name: bytes) -> list[bytes]:
    """The values of every field line called `name` (lower case) in a head's lines, each ended by CRLF."""
    return list(_values(fields, name))


def digest_of_parts(*parts: bytes) -> bytes:
    """SHA-256 over parts, each behind its length, so that no two lists of parts have the same bytes."""
    digest = sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _values(fields: bytes, name: bytes) -> Iterator[bytes]:
    for line in fields.split(b"\r\n"):
        word, separator, value = line.partition(b":")
        if separator and word.lower() == name:
            yield value.strip(b" \t")


def _parse(value: bytes) -> bytes:
    if not value:
        raise MalformedKey("the key is empty")
    quoted = _QUOTED.fullmatch(value)
    if quoted is not None:
        return _checked(_ESCAPED.sub(rb"\1", quoted[1]))
    if _BARE.fullmatch(value) is None:
        raise MalformedKey("the key is neither a quoted string nor bare printable ASCII")
    return _checked(value)


def _checked(key: bytes) -> bytes:
    if not key.strip():
        raise MalformedKey("the key is empty")
    if len(key) > MAX_KEY_CHARACTERS:
        raise MalformedKey(f"the key is longer than {MAX_KEY_CHARACTERS} characters")
    if not all(32 <= byte < 127 for byte in key):
        raise MalformedKey("the key is not printable ASCII")
    return key
