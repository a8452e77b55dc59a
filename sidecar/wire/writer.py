"""Heads to bytes: framed anew for the next hop, everything that may pass passed as it came (RFC 9110 §7.6)."""

from sidecar.wire.framing import CHUNKED
from sidecar.wire.head import RequestHead, ResponseHead

VIA = b"Via: 1.1 sidecar\r\n"
_CHUNKED_LINE = b"Transfer-Encoding: chunked\r\n"


def request_head(head: RequestHead, target: bytes, added: bytes) -> bytes:
    """The head as it is sent upstream, without its closing empty line, so that an attempt can add a line of its own.

    `target` is in origin form; `added` are whole lines ended by CRLF.
    """
    if head.framing is CHUNKED:
        added += _CHUNKED_LINE
    if head.upgrade:
        added += b"Connection: upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
    return b"%b %b HTTP/1.1\r\n%b%b" % (head.method, target, head.fields, added)


def response_head(head: ResponseHead, added: bytes, *, chunked: bool) -> bytes:
    """The head as it is sent downstream, whole. `added` are lines ended by CRLF; `chunked` frames the body anew."""
    if chunked:
        added += _CHUNKED_LINE
    return b"HTTP/1.1 %b\r\n%b%b\r\n" % (head.line, head.fields, added)


def replace_host(fields: bytes, host: bytes, value: bytes) -> bytes:
    """`fields` with their one Host line, whose value is `host`, saying `value`; put first where there was none."""
    line = b"Host: %b\r\n" % value
    old = b"Host: %b\r\n" % host
    if fields.startswith(old):  # as nearly every client writes it
        return line + fields[len(old) :]
    at = (b"\r\n" + fields.lower()).find(b"\r\nhost:")
    if at < 0:
        return line + fields
    return fields[:at] + line + fields[fields.index(b"\r\n", at) + 2 :]
