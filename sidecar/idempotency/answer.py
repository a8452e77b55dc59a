"""An answer as it is kept, to be given again byte for byte: status, allow-listed fields, body."""

from hashlib import sha256
from typing import Final, Protocol

from msgspec import DecodeError, Struct, ValidationError, msgpack, structs

from sidecar.governance.policy.contract import Redaction
from sidecar.idempotency.fingerprint import is_json_type
from sidecar.idempotency.json_redaction import redacted
from sidecar.idempotency.key import field_values

KEPT_FIELDS: Final = frozenset(
    (
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-location",
        b"content-type",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        b"link",
        b"location",
        b"vary",
    )
)
"""Fields that belong to the answer. Cookies, and what is about one connection or one caller, are not given again."""


class StoredAnswer(Struct, frozen=True, array_like=True):
    """`line` is the status line's end, b"201 Created"; `fields` are lines ended by CRLF, without Content-Length.

    `body` None: it was too large to keep, and `length` and `digest` (SHA-256) are all that is known of it. `digest` is
    b"" where it would tell of what was redacted.
    """

    status: int
    line: bytes
    fields: bytes
    body: bytes | None
    length: int
    digest: bytes


class UnreadableAnswer(Exception):
    """A kept answer that can not be read: encrypted with another key, or damaged."""


class AnswerSeal(Protocol):
    """Encrypts what is kept. `key` is the digest that the record is known by; an answer opens under no other."""

    def seal(self, answer: bytes, key: bytes) -> bytes:
        """The sealed form of an answer, to be stored."""

    def open(self, stored: bytes, key: bytes) -> bytes:
        """The answer that was sealed. Raises UnreadableAnswer."""


_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(StoredAnswer).decode


def kept_fields(fields: bytes) -> bytes:
    """Those of a response's field lines that are given again."""
    return b"".join(line + b"\r\n" for line in fields.split(b"\r\n") if _field_name(line) in KEPT_FIELDS)


def _field_name(line: bytes) -> bytes:
    return line.partition(b":")[0].strip().lower()


def answer_of(status: int, line: bytes, fields: bytes, body: bytes) -> StoredAnswer:
    """An answer that is kept whole."""
    return StoredAnswer(status, line, kept_fields(fields), body, len(body), sha256(body).digest())


def redacted_answer(answer: StoredAnswer, redaction: Redaction) -> StoredAnswer:
    """The answer without what is to be put out of sight.

    A body in which the fields can not be found, since it is not plain JSON, is not kept; nor is a digest of what was
    put out of sight, by which it could be guessed.
    """
    fields = answer.fields
    if redaction.headers:
        lines = (line for line in fields.split(b"\r\n") if line)
        fields = b"".join(line + b"\r\n" for line in lines if _field_name(line) not in redaction.headers)
    if not redaction.pointers or (not answer.body and answer.body is not None):
        return structs.replace(answer, fields=fields)
    body = None
    plain = not any(field_values(fields, b"content-encoding"))
    if answer.body is not None and plain and is_json_type((field_values(fields, b"content-type") or [b""])[0]):
        body = redacted(answer.body, redaction.pointers)
    if body is None:
        return StoredAnswer(answer.status, answer.line, fields, None, answer.length, b"")
    return StoredAnswer(answer.status, answer.line, fields, body, len(body), sha256(body).digest())


def encode_answer(answer: StoredAnswer, key: bytes, seal: AnswerSeal | None) -> bytes:
    """The answer as the ledger keeps it."""
    written = _encode(answer)
    return written if seal is None else seal.seal(written, key)


def decode_answer(stored: bytes, key: bytes, seal: AnswerSeal | None) -> StoredAnswer | None:
    """The answer of `encode_answer`; None for one that was erased. Raises UnreadableAnswer."""
    if not stored:
        return None
    try:
        return _decode(stored if seal is None else seal.open(stored, key))
    except (DecodeError, ValidationError, UnicodeDecodeError) as error:
        raise UnreadableAnswer(str(error)) from None
