"""Heads to bytes: framed anew for the next hop, everything that may pass passed as it came (RFC 9110 §7.6)."""

from sidecar.wire.framing import CHUNKED
from sidecar.wire.head import RequestHead, ResponseHead

VIA = b"Via: 1.1 sidecar\r\n"
CHUNKED_LINE = b"Transfer-Encoding: chunked\r\n"


def request_head(head: RequestHead) -> bytes:
    """The head as it is sent upstream, without its closing empty line, so that lines can be added to it."""
    added = CHUNKED_LINE if head.framing is CHUNKED else b""
    if head.upgrade:
        added += b"Connection: upgrade\r\nUpgrade: " + head.upgrade + b"\r\n"
    return b"".join((head.method, b" ", head.target, b" HTTP/1.1\r\n", head.fields, added))


def response_head(head: ResponseHead) -> bytes:
    """The head as it is sent downstream, without its closing empty line and the lines that frame its body anew."""
    return b"HTTP/1.1 %b\r\n%b" % (head.line, head.fields)


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
