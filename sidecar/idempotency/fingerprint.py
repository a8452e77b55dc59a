"""The digest of a request's meaning: the same key with another is refused instead of answered wrongly."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from sidecar.idempotency.key import digest_of_parts
from sidecar.idempotency.pointer import without

FINGERPRINT_VERSION: Final = b"\x01"
"""Raised when the digest is made in another way: those of different versions are not compared."""


class RequestBody:
    """A whole request body, parsed at most once, and only when it says that it is JSON."""

    __slots__ = ("_parsed", "_tried", "content_type", "raw")

    def __init__(self, raw: bytes, content_type: bytes) -> None:
        self.raw = raw
        self.content_type = content_type
        self._parsed: object = None
        self._tried = False

    @property
    def is_json(self) -> bool:
        """Whether it is JSON, by its media type and by its bytes."""
        self._parse()
        return self._parsed is not _NO_JSON

    @property
    def document(self) -> object:
        """The JSON value of the body; None when it is not JSON, as also for `null`."""
        self._parse()
        return None if self._parsed is _NO_JSON else self._parsed

    def _parse(self) -> None:
        if self._tried:
            return
        self._tried = True
        self._parsed = _NO_JSON
        if not is_json_type(self.content_type):
            return
        try:
            # Numbers as they are written: 1.0 and 1 are one number to a float and two amounts to another parser.
            self._parsed = json.loads(self.raw, parse_float=_Literal, parse_int=_Literal, object_pairs_hook=_once)
        except (ValueError, RecursionError):
            self._parsed = _NO_JSON


_NO_JSON: Final = object()


class _Literal(str):
    """A number of a JSON text, as it was written."""

    __slots__ = ()


class NamedTwice(ValueError):
    """A name that stands twice in one object: readers differ about which counts (RFC 8259 §4)."""


def is_json_type(content_type: bytes) -> bool:
    """Whether a Content-Type is of JSON."""
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type == b"application/json" or media_type.endswith(b"+json")


def fingerprint_of(method: bytes, target: bytes, body: RequestBody, ignored: Sequence[tuple[str, ...]]) -> bytes:
    """The version, and SHA-256 of method, path, query and canonical body less the fields that are `ignored`.

    The body is canonical where it is JSON: names sorted, space left out, numbers as they were written. Any other, and
    JSON that names something twice, is taken byte for byte.
    """
    path, _, query = target.partition(b"?")
    return FINGERPRINT_VERSION + digest_of_parts(method, path, query, _canonical(body, ignored))


def _canonical(body: RequestBody, ignored: Sequence[tuple[str, ...]]) -> bytes:
    if not body.is_json:
        return b"raw" + sha256(body.raw).digest()
    document = body.document
    for tokens in ignored:
        document = without(document, tokens)
    try:
        return b"json" + sha256("".join(_written(document)).encode("utf-8", "surrogatepass")).digest()
    except RecursionError:
        return b"raw" + sha256(body.raw).digest()


def _written(value: object) -> list[str]:
    """JSON with names sorted and nothing between the tokens."""
    if isinstance(value, _Literal):
        return [str(value)]
    if isinstance(value, dict):
        parts = []
        for name in sorted(value):
            parts += [json.dumps(name), ":", *_written(value[name]), ","]
        return ["{", *parts, "}"]
    if isinstance(value, list):
        parts = []
        for item in value:
            parts += [*_written(item), ","]
        return ["[", *parts, "]"]
    return [json.dumps(value)]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise NamedTwice
    return document
