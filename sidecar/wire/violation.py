"""The rule that a refused head breaks: told from where llhttp stops, not from its message.

llhttp has a code for each error. httptools 0.9 tells three of them apart by its exceptions' classes, and of all others
it keeps the message alone (`parser_error_from_errno` in its parser.pyx), which may change with any version. So the byte
that is refused is looked for: llhttp's state depends on the bytes alone, and not on how they were cut, so the longest
beginning that it takes is the same one for every cut. What is said of a refusal is a function of the bytes up to there,
the refused one included.

That a head is refused is llhttp's judgement; only the status and the word come from here.
"""

import re
from bisect import bisect_left
from typing import Final

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
    HttpResponseParser,
)

from sidecar.wire.hopbyhop import CONTENT_LENGTH, TRANSFER_ENCODING, role_of, tokens
from sidecar.wire.malformed import Malformed

NOT_HTTP: Final = frozenset(
    {
        b"SOURCE", b"DESCRIBE", b"ANNOUNCE", b"SETUP", b"PLAY", b"PAUSE", b"TEARDOWN", b"GET_PARAMETER",
        b"SET_PARAMETER", b"REDIRECT", b"RECORD", b"FLUSH", b"PRI",
    }
)  # fmt: skip
"""Methods of ICE, RTSP and the HTTP/2 preface: llhttp knows them, HTTP/1.1 does not."""

_UNKNOWN_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Z-]+(?: |\Z)")
_OTHER_VERSION: Final = re.compile(rb"[^ \r\n]+ [^ \r\n]+ HTTP/(?!1\.[01])[0-9]\.[0-9]")
_CODINGS: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def foreign(method: bytes) -> Malformed:
    """The refusal of a method of another protocol."""
    if method == b"PRI":
        return Malformed(505, "unsupported_version", "HTTP/2 is not spoken")
    return Malformed(501, "unknown_method", "the method is none of HTTP")


def request_violation(error: HttpParserError, data: bytes) -> Malformed:
    """The reason for a refusal with `error`. `data`: from the first byte of the head, as much as has come."""
    if isinstance(error, HttpParserInvalidMethodError):
        # The one word that more bytes may change: of `FR`, what follows tells whether it is a method at all.
        if _UNKNOWN_METHOD.match(data.lstrip(b"\r\n")):
            return Malformed(501, "unknown_method", "the method is not known")
        return Malformed(400, "bad_request_line", "the method is not a method")
    head = _up_to_the_refused_byte(HttpRequestParser, data).lstrip(b"\r\n")
    line, in_fields, block = head.partition(b"\r\n")
    method = line.partition(b" ")[0]
    if method in NOT_HTTP:
        return foreign(method)
    if in_fields and line.endswith((b" HTTP/1.1", b" HTTP/1.0")):
        return _request_fields(block)
    if isinstance(error, HttpParserInvalidURLError) and not line.endswith(b"\r", 0, -1) and not in_fields:
        return Malformed(400, "bad_target", "the target has bytes that no target may have")
    if _OTHER_VERSION.match(line):
        return Malformed(505, "unsupported_version", "only HTTP/1.0 and HTTP/1.1 are spoken")
    return Malformed(400, "bad_request_line", "the request line is not method, target and version of HTTP")


def response_violation(error: HttpParserError, data: bytes) -> Malformed:
    """The reason for a refused response with `error`. `data`: from the first byte of the head, as much as has come."""
    head = _up_to_the_refused_byte(HttpResponseParser, data)
    _, in_fields, block = head.partition(b"\r\n")
    # At the end of its head a response is refused as a 101 that does not say what it switches to.
    of_fields = in_fields and not head.endswith(b"\r\n\r\n")
    reason = _of_fields(block) if of_fields else "bad_status_line"
    return Malformed(502, reason, f"llhttp: {error}")


def _request_fields(block: bytes) -> Malformed:
    reason = _of_fields(block)
    if reason == "content_length":
        return Malformed(400, reason, "Content-Length is not one number")
    if reason == "bad_field":
        return Malformed(400, reason, "a field line is malformed")
    if block.endswith(b"\r\n\r\n"):
        codings = _codings(block)
        if _CODINGS.fullmatch(codings) and b"chunked" not in tokens(codings):
            return Malformed(501, reason, "a transfer coding other than chunked")
    return Malformed(400, reason, "Transfer-Encoding is malformed, or beside a Content-Length")


class _Deaf:
    """Is told nothing by a parser."""


def _up_to_the_refused_byte(kind: type[HttpRequestParser | HttpResponseParser], data: bytes) -> bytes:
    """The shortest beginning of `data` that llhttp refuses. A head of n bytes is read log n times for it."""
    return data[: bisect_left(range(1, len(data)), x=True, key=lambda size: _refuses(kind, data[:size])) + 1]


def _refuses(kind: type[HttpRequestParser | HttpResponseParser], data: bytes) -> bool:
    try:
        kind(_Deaf()).feed_data(data)
    except HttpParserUpgrade:
        return False
    except HttpParserError:
        return True
    return False


def _of_fields(block: bytes) -> str:
    """The word for the last byte of `block`: the first one of the fields that llhttp does not take."""
    *before, line = block.split(b"\r\n")
    if not line:
        return "transfer_encoding"  # the fields are complete: what is refused is the framing that they give
    if before and len(line) == 1 and line not in b" \t":
        line = before[-1] + b" "  # that a value is missing is noticed at the first byte of the next line
        if line.partition(b":")[2].strip(b" \t"):
            return "bad_field"
    name, colon, value = line.partition(b":")
    role = role_of(name)
    if not colon or b"\r" in value or value.endswith(b"\n"):
        return "bad_field"
    if role == CONTENT_LENGTH:
        return "content_length" if value else "transfer_encoding"  # refused at its colon, it follows a coding
    if role == TRANSFER_ENCODING and not _CONTROL.search(value):
        return "transfer_encoding"
    return "bad_field"


def _codings(block: bytes) -> bytes:
    lines = [line.partition(b":") for line in block.split(b"\r\n")]
    return b",".join(value for name, _, value in lines if role_of(name) == TRANSFER_ENCODING).strip(b" \t")
