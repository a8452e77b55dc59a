"""The rule that a head breaks which llhttp has refused, told from its bytes.

llhttp has a code for each error. httptools 0.9 tells three of them apart by its exceptions' classes, and keeps of all
others the sentence for people alone (`parser_error_from_errno` in its parser.pyx). Sentences change from one llhttp to
the next, so the bytes are looked at again here, up to the first line that breaks a rule. Only the status and the word
of the refusal come from here: that a head is refused is llhttp's judgement.
"""

import re
from typing import Final

from sidecar.wire.hopbyhop import CONTENT_LENGTH, TRANSFER_ENCODING, role_of, tokens
from sidecar.wire.malformed import Malformed

NOT_HTTP: Final = frozenset(
    {
        b"SOURCE", b"DESCRIBE", b"ANNOUNCE", b"SETUP", b"PLAY", b"PAUSE", b"TEARDOWN", b"GET_PARAMETER",
        b"SET_PARAMETER", b"REDIRECT", b"RECORD", b"FLUSH", b"PRI",
    }
)  # fmt: skip
"""Methods of ICE, RTSP and the HTTP/2 preface: llhttp knows them, HTTP/1.1 does not."""

_REQUEST_LINE: Final = re.compile(rb"[^ \r\n]+ [^ \r\n]+ HTTP/1\.[01]")
_OTHER_VERSION: Final = re.compile(rb"[^ \r\n]+ [^ \r\n]+ HTTP/(?!1\.[01])[0-9]\.[0-9]")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] [0-9]{3}(?: [\t\x20-\x7e\x80-\xff]*)?")
_UNKNOWN_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Z-]+(?: |\Z)")
_LINE_CUT_SHORT: Final = re.compile(rb"[^ \r\n]+ /[!-~]*\r")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_CODINGS: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")


def foreign(method: bytes) -> Malformed:
    """The refusal of a method of another protocol."""
    if method == b"PRI":
        return Malformed(505, "unsupported_version", "HTTP/2 is not spoken")
    return Malformed(501, "unknown_method", "the method is none of HTTP")


def bad_method(data: bytes) -> Malformed:
    """The refusal of a request whose method llhttp does not know; `data` is all of it that has come."""
    if _UNKNOWN_METHOD.match(data.lstrip(b"\r\n")):
        return Malformed(501, "unknown_method", "the method is not known")
    return Malformed(400, "bad_request_line", "the method is not a method")


def bad_target(data: bytes) -> Malformed:
    """The refusal of a request for its target."""
    line = data.lstrip(b"\r\n")
    method = line.partition(b" ")[0]
    if method in NOT_HTTP:
        return foreign(method)
    if _LINE_CUT_SHORT.match(line):
        return Malformed(400, "bad_request_line", "the request line ends after the target")
    return Malformed(400, "bad_target", "the target has bytes that no target may have")


def bad_request(data: bytes) -> Malformed:
    """The refusal of a request for anything else; `data` is all of it that has come."""
    line, _, block = data.lstrip(b"\r\n").partition(b"\r\n")
    method = line.partition(b" ")[0]
    if method in NOT_HTTP:
        return foreign(method)
    if not _REQUEST_LINE.fullmatch(line):
        if _OTHER_VERSION.match(line):
            return Malformed(505, "unsupported_version", "only HTTP/1.0 and HTTP/1.1 are spoken")
        return Malformed(400, "bad_request_line", "the request line is not method, target and version of HTTP")
    reason, codings = _of_fields(block)
    if reason == "content_length":
        return Malformed(400, reason, "Content-Length is not one number")
    if reason == "transfer_encoding":
        if _CODINGS.fullmatch(codings.strip(b" \t")) and b"chunked" not in tokens(codings):
            return Malformed(501, reason, "a transfer coding other than chunked")
        return Malformed(400, reason, "Transfer-Encoding is malformed, or beside a Content-Length")
    return Malformed(400, "bad_field", "a field line is malformed")


def bad_response(data: bytes) -> str:
    """The reason for which a response is refused; `data` is all of it that has come."""
    line, _, block = data.partition(b"\r\n")
    return _of_fields(block)[0] if _STATUS_LINE.fullmatch(line) else "bad_status_line"


def _of_fields(block: bytes) -> tuple[str, bytes]:
    """The reason by the first line that breaks a rule, and for a transfer coding those that were named up to there."""
    head, end, _ = block.partition(b"\r\n\r\n")
    *lines, last = head.split(b"\r\n")
    if not end:  # llhttp refuses a head as soon as it can: more of this line was to come
        if b":" in last or last == b"\r":
            last = last.removesuffix(b"\r")
        elif _NAME.fullmatch(last) and role_of(last) not in (CONTENT_LENGTH, TRANSFER_ENCODING):
            last = b""
    length = False
    codings: bytes | None = None
    for line in filter(None, (*lines, last)):
        name, _, value = line.partition(b":")
        role = role_of(name)
        if role == CONTENT_LENGTH and codings is None:
            if length or not _is_length(value.strip(b" \t")):
                return "content_length", b""
            length = True
        elif role == CONTENT_LENGTH or (role == TRANSFER_ENCODING and length):
            return "transfer_encoding", b""
        elif role == TRANSFER_ENCODING:
            codings = value if codings is None else codings + b"," + value
            if b"chunked" in tokens(codings) and codings.strip(b" \t").lower() != b"chunked":
                break  # it has to be the last one
            if not _FIELD.fullmatch(line):
                return "bad_field", b""
        elif not _FIELD.fullmatch(line):
            return "bad_field", b""
    return ("bad_field", b"") if codings is None else ("transfer_encoding", codings)


def _is_length(value: bytes) -> bool:
    """Whether llhttp can count to it, in 64 bits."""
    return value.isdigit() and len(value) <= 20 and int(value) < 2**64
