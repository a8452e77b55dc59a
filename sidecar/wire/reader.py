"""Bytes to heads. llhttp (httptools, strict) judges every character; what it lets through is judged here.

A head that differs from one that was judged only where it makes no difference is not judged again (`shapes`).

A reader is fed exactly one head at a time: it finds the empty line itself, so the first byte that follows a head is
never a guess, whatever the message says about its body. Bodies are read elsewhere (`chunked`, or by counting).
"""

import re
from functools import lru_cache
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from sidecar.wire.framing import CLOSE, request_framing, response_framing
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.hopbyhop import (
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    EXPECT,
    HOST,
    IDEMPOTENCY_KEY,
    PEER_REFUSAL,
    REQUEST_ID,
    RETRY_AFTER,
    RETRY_ATTEMPT,
    TE,
    TRACEPARENT,
    TRANSFER_ENCODING,
    UPGRADE,
    role_of,
    tokens,
)
from sidecar.wire.malformed import Malformed
from sidecar.wire.shapes import RequestShape, ResponseShape, Shapes
from sidecar.wire.violation import NOT_HTTP, foreign, request_violation, response_violation
from sidecar.wire.writer import response_head

_END: Final = b"\r\n\r\n"
_TARGET: Final = bytes(c for c in range(0x21, 0x7F) if c != ord("#"))
_H: Final = ord("H")
_REASON: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

_MAX_LENGTH: Final = 2**63 - 1
"""Past it, a length is a negative number to some who read it."""
_MEANT: Final = frozenset({b"idempotency-key", b"x-request-id", b"traceparent"})
"""Fields that mean something to us, unless Connection says that they go no further than here."""


class _HeadReader:
    """The part common to both directions: finds the end of a head and enforces the limits."""

    __slots__ = ("_complete", "_fields", "_max_bytes", "_max_fields", "_partial", "rest")

    def __init__(self, max_bytes: int, max_fields: int) -> None:
        self._max_bytes = max_bytes
        self._max_fields = max_fields
        self._partial = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._complete = False
        self.rest = b""
        """The bytes that followed the head which `feed` returned."""

    @property
    def begun(self) -> bool:
        """True while some bytes of a head have come, but not all."""
        return bool(self._partial)

    def close(self) -> None:
        """Part from the parser, which points back here: the pair is then freed at once, not by the collector."""
        raise NotImplementedError

    # llhttp's callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field line."""
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The empty line."""
        self._complete = True

    def _take(self, data: bytes) -> bytes | None:
        """Bytes of a head in, the whole head out once its empty line has come."""
        if not self._partial:
            end = data.find(_END) + 4
            if 3 < end <= self._max_bytes:
                # The common case, a whole head at once: 1.1 µs less than the loop below.
                raw = data if end == len(data) else data[:end]
                self._parse(raw)
                self.rest = data[end:]
                if self._complete:
                    return raw
                self._skip_empty_line(raw)
                data = self.rest  # empty lines before a message are no message (RFC 9112 §2.2)
                if not data:
                    return None
        begin = start = 0
        if self._partial:
            # The empty line may straddle the border, so three bytes are looked at again.
            start = max(0, len(self._partial) - 3)
            fresh = len(self._partial)
            data = self._partial = self._partial + data
        else:
            fresh = 0
        while True:
            end = data.find(_END, start)
            if end < 0:
                self._partial = data
                if len(data) > self._max_bytes:
                    raise self._too_large(data)
                self._parse(data[fresh:] if fresh else data)
                if len(self._fields) > self._max_fields:
                    raise self._too_many()  # now: a field that was read takes many times the memory of its bytes
                if self._complete:
                    raise self._ended_otherwise()
                if len(data) <= 2 and not data.strip(b"\r\n"):
                    self._skip_empty_line(data)
                    self._partial = b""  # an empty line before a message is no message (RFC 9112 §2.2)
                return None
            end += 4
            if end > self._max_bytes:
                raise self._too_large(data)
            if end == len(data) and not fresh:
                self._parse(data)
            else:
                self._parse(data[fresh:end])
            if self._complete:
                self.rest = data[end:]
                self._partial = b""
                return data if end == len(data) else data[:end]
            self._skip_empty_line(data[begin:end])
            begin = fresh = start = end

    def _skip_empty_line(self, line: bytes) -> None:
        """Pass over what llhttp took without seeing a head in it. Raises Malformed where that may not be."""
        raise NotImplementedError

    def _parse(self, data: bytes) -> None:
        raise NotImplementedError

    def _too_large(self, data: bytes) -> Malformed:
        raise NotImplementedError

    def _too_many(self) -> Malformed:
        raise NotImplementedError

    def _ended_otherwise(self) -> Malformed:
        """For what llhttp takes for a whole head, though it does not end as one."""
        raise NotImplementedError


class RequestReader(_HeadReader):
    """Requests of one client connection, one head at a time."""

    __slots__ = ("_max_target", "_parser", "_shapes")

    def __init__(
        self,
        max_bytes: int = 65536,
        max_fields: int = 100,
        max_target: int = 16384,
        shapes: Shapes[RequestShape, RequestHead] | None = None,
    ) -> None:
        """`shapes` are those of the requests met lately, on whatever connection."""
        super().__init__(max_bytes, max_fields)
        self._max_target = max_target
        self._shapes = shapes
        self._parser: HttpRequestParser | None = HttpRequestParser(self)

    def close(self) -> None:
        """Part from the parser."""
        self._parser = None

    def feed(self, data: bytes) -> RequestHead | None:
        """The head, once it is whole; what came after it is in `rest`. Raises Malformed."""
        shapes = None if self._partial else self._shapes
        if shapes:
            for shape in shapes:
                match = shape.match(data)
                if match is not None:
                    if shape is not shapes[0]:
                        shapes.met(shape)
                    end = match.end()
                    if end > self._max_bytes or shape.count > self._max_fields or match.end(1) > self._max_target:
                        break  # too much, or nearly: judged below
                    self.rest = data[end:]
                    return shape.head(match)
        raw = None
        try:
            raw = self._take(data)
            if raw is None:
                return None
            head = self._judge(raw)
        except Malformed as error:
            error.to_head = (raw or self._partial or data).lstrip(b"\r\n").startswith(b"HEAD ")
            raise
        if shapes is not None:
            shapes.learn(raw, head)
        return head

    def _judge(self, raw: bytes) -> RequestHead:
        """Reject what llhttp accepts and RFC 9112 does not. Raises Malformed."""
        if raw[0] in b"\r\n":
            raw = raw.lstrip(b"\r\n")
        eol = raw.index(b"\r\n")
        parts = raw[:eol].split(b" ")
        if len(parts) != 3:
            raise Malformed(400, "bad_request_line", "the request line is not method, target and version")
        method, target, version = parts
        if version == b"HTTP/1.1":
            head = RequestHead(method, target, 1)
        elif version == b"HTTP/1.0":
            head = RequestHead(method, target, 0)
        elif version.startswith(b"HTTP/"):
            raise Malformed(505, "unsupported_version", "only HTTP/1.0 and HTTP/1.1 are spoken")
        else:
            raise Malformed(400, "bad_request_line", "the request line names no HTTP version")
        if method in NOT_HTTP:
            raise foreign(method)
        if len(target) > self._max_target:
            raise Malformed(414, "target_too_long", f"the target is longer than {self._max_target} bytes")
        if target.translate(None, _TARGET):
            raise Malformed(400, "bad_target", "the target has a fragment, or bytes that no target may have")
        fields, self._fields, self._complete = self._fields, [], False
        if len(fields) > self._max_fields:
            raise self._too_many()
        over = _read_request_fields(head, fields, raw[eol + 2 : -2])
        if over or head.framing or head.upgrade or method == b"CONNECT" or not head.keep_alive:
            # llhttp would now wait for a body, or for the end: a fresh parser costs 0.3 µs and expects a head.
            self._parser = HttpRequestParser(self)
        return head

    def _skip_empty_line(self, line: bytes) -> None:
        if line.strip(b"\r\n"):  # the preface of HTTP/2, which llhttp takes for half a head
            raise foreign(b"PRI")

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        assert parser is not None
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._parser = HttpRequestParser(self)
        except HttpParserError as error:
            raise request_violation(error, self._partial or data) from None

    def _too_large(self, data: bytes) -> Malformed:
        if b"\r\n" not in data.lstrip(b"\r\n")[: self._max_target + 32]:
            return Malformed(414, "target_too_long", f"the target is longer than {self._max_target} bytes")
        return Malformed(431, "head_too_large", f"the head is larger than {self._max_bytes} bytes")

    def _too_many(self) -> Malformed:
        return Malformed(431, "too_many_fields", f"more than {self._max_fields} fields")

    def _ended_otherwise(self) -> Malformed:
        return Malformed(400, "bad_request_line", "the request line names no HTTP version")


class ResponseReader(_HeadReader):
    """Responses of one server connection, one head at a time; interim ones (1xx) are heads like others."""

    __slots__ = ("_parser", "_shapes")

    def __init__(
        self,
        max_bytes: int = 65536,
        max_fields: int = 256,
        shapes: Shapes[ResponseShape, ResponseHead] | None = None,
    ) -> None:
        """`shapes` are those of the responses met lately, on whatever connection."""
        super().__init__(max_bytes, max_fields)
        self._shapes = shapes
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def close(self) -> None:
        """Part from the parser."""
        self._parser = None

    def feed(self, data: bytes, *, to_head: bool) -> ResponseHead | None:
        """The head, once it is whole; what followed it is in `rest`. `to_head`: it answers a HEAD. Raises Malformed."""
        if data[0] != _H and not self._partial:
            # llhttp passes over empty lines here, and a stray one may be the end of a body.
            raise Malformed(502, "bad_status_line", "the status line is not one of HTTP/1.0 or HTTP/1.1")
        shapes = None if self._partial or to_head else self._shapes
        if shapes:
            for shape in shapes:
                match = shape.match(data)
                if match is not None:
                    if shape is not shapes[0]:
                        shapes.met(shape)
                    end = match.end()
                    if end > self._max_bytes or shape.count > self._max_fields:
                        break
                    self.rest = data[end:]
                    return shape.head(match)
        raw = self._take(data)
        if raw is None:
            return None
        if raw.startswith(b"HTTP/1.1 "):
            minor = 1
        elif raw.startswith(b"HTTP/1.0 "):
            minor = 0
        else:
            raise Malformed(502, "bad_status_line", "the status line is not one of HTTP/1.0 or HTTP/1.1")
        eol = raw.index(b"\r\n")
        line = raw[9:eol]
        if eol == 12:
            line += b" "  # RFC 9112 §4: written even where no reason follows
        status = _status_of(line)
        head = ResponseHead(status, line, minor)
        fields, self._fields, self._complete = self._fields, [], False
        if len(fields) > self._max_fields:
            raise self._too_many()
        _read_response_fields(head, fields, raw[eol + 2 : -2], to_head=to_head)
        head.onward = response_head(head)
        self._parser = HttpResponseParser(self)
        if shapes is not None:
            shapes.learn(raw, head)
        return head

    def _skip_empty_line(self, line: bytes) -> None:
        # RFC 9112 §2.2 lets a server skip them; nothing lets a client, and a stray line may be the end of a body.
        raise Malformed(502, "bad_status_line", "an empty line in place of a status line")

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        assert parser is not None
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            pass
        except HttpParserError as error:
            raise response_violation(error, self._partial or data) from None

    def _too_large(self, data: bytes) -> Malformed:
        return Malformed(502, "head_too_large", f"a head of {len(data)} bytes or more, over {self._max_bytes}")

    def _too_many(self) -> Malformed:
        return Malformed(502, "too_many_fields", f"more than {self._max_fields} fields")

    def _ended_otherwise(self) -> Malformed:
        return Malformed(502, "bad_field", "the head does not end with an empty line")


def _read_request_fields(head: RequestHead, fields: list[tuple[bytes, bytes]], block: bytes) -> bool:
    """Fill `head`. True if llhttp may now believe that the connection ends, and is wrong: it obeys Proxy-Connection."""
    hosts = keys = 0
    coding = upgrade = None
    dropped: set[bytes] | None = None
    named: list[bytes] | None = None
    for name, value in fields:
        role = role_of(name)
        if not role:
            continue
        if role == HOST:
            hosts += 1
            head.host = value
        elif role == CONTENT_LENGTH:
            head.length = int(value)
            if head.length > _MAX_LENGTH:
                raise Malformed(400, "content_length", "Content-Length is past 63 bits")
        elif role == REQUEST_ID:
            head.request_id = value
        elif role == IDEMPOTENCY_KEY:
            keys += 1
            head.keyed = bool(value) and keys == 1  # of two it is not known which one the destination uses
        elif role == TRACEPARENT:
            head.trace = value
        elif role >= EXPECT:
            if role == EXPECT:
                if value.strip(b" \t").lower() != b"100-continue":
                    continue  # between the client and the destination
                head.expects_continue = head.minor == 1
                if head.expects_continue:
                    continue
            elif role == TE:
                if tokens(value) == [b"trailers"]:
                    continue
            elif role == CONNECTION:
                named = tokens(value) + (named or [])
            elif role == TRANSFER_ENCODING:
                coding = value if coding is None else coding + b"," + value
            elif role == UPGRADE:
                upgrade = value if upgrade is None else b""
            elif role == RETRY_ATTEMPT:
                head.retry_attempt = value if value.isdigit() and len(value) <= 3 else b""
            dropped = dropped or set()
            dropped.add(name.lower())
    if hosts != 1 and (hosts or head.minor):
        raise Malformed(400, "host", "the request has no Host, or several")
    if coding is not None or head.length:
        head.framing = request_framing(head.minor, head.length, coding)
    if named:
        if b"close" in named:
            head.keep_alive = False
        elif b"keep-alive" in named:
            head.keep_alive = True
        # Not in HTTP/1.0 (RFC 9110 §7.8), nor with a body, whose end would then lie somewhere in the tunnel.
        allowed = head.minor and not head.framing
        if upgrade and allowed and b"upgrade" in named and upgrade.strip(b" \t").lower() == b"websocket":
            head.upgrade = b"websocket"  # and nothing else: a tunnelled h2c would be ungoverned
        nominated = _nominated(named)
        if nominated & _MEANT:
            head.keyed = head.keyed and b"idempotency-key" not in nominated
            head.request_id = b"" if b"x-request-id" in nominated else head.request_id
            head.trace = b"" if b"traceparent" in nominated else head.trace
        dropped = (dropped or set()) | nominated
    if dropped is None:
        head.fields = block
        return False
    head.fields = _without(block, dropped)
    return b"proxy-connection" in dropped


def _read_response_fields(
    head: ResponseHead, fields: list[tuple[bytes, bytes]], block: bytes, *, to_head: bool
) -> None:
    coding = upgrade = None
    dropped: set[bytes] | None = None
    named: list[bytes] | None = None
    for name, value in fields:
        role = role_of(name)
        if not role:
            continue
        if role == CONTENT_LENGTH:
            head.length = int(value)
            if head.length > _MAX_LENGTH:
                raise Malformed(502, "content_length", "Content-Length is past 63 bits")
            if head.status != 204 and head.status >= 200:
                continue
        elif role == DATE:
            head.date = value
            continue
        elif role == RETRY_AFTER:
            head.retry_after = value
            continue
        elif role < TE:
            continue
        elif role == CONNECTION:
            named = tokens(value) + (named or [])
        elif role == TRANSFER_ENCODING:
            coding = value if coding is None else coding + b"," + value
        elif role == UPGRADE:
            upgrade = value
        elif role == PEER_REFUSAL:
            head.peer_refusal = value
        dropped = dropped or set()
        dropped.add(name.lower())
    head.framing = response_framing(head.minor, head.status, head.length, coding, to_head=to_head)
    if named:
        if b"close" in named:
            head.keep_alive = False
        elif b"keep-alive" in named:
            head.keep_alive = True
        if upgrade and b"upgrade" in named:
            head.upgrade = upgrade.strip(b" \t").lower()
        dropped = (dropped or set()) | _nominated(named)
    if head.framing is CLOSE:
        head.keep_alive = False
    head.fields = block if dropped is None else _without(block, dropped)


def _status_of(line: bytes) -> int:
    """The status of b"200 OK". Raises Malformed for one out of range, or a reason with control bytes."""
    return _usual_status(line) if len(line) <= 64 else _status(line)


def _status(line: bytes) -> int:
    status = int(line[:3])
    if status < 100 or status > 599 or _REASON.fullmatch(line) is None:
        raise Malformed(502, "bad_status_line", "the status line has no valid status or reason")
    return status


_usual_status = lru_cache(maxsize=512)(_status)


def _nominated(named: list[bytes]) -> set[bytes]:
    """The fields that Connection names. Not Host or Content-Length: removing those would mislead the next hop."""
    return {name for name in named if name not in (b"host", b"content-length")}


def _without(block: bytes, dropped: set[bytes]) -> bytes:
    lines = block.split(b"\r\n")[:-1]
    return b"".join([line + b"\r\n" for line in lines if line.partition(b":")[0].lower() not in dropped])
