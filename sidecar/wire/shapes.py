"""Shapes of heads: how the heads of one program look alike though no two of them are.

A shape is a regular expression made from one head that llhttp has let through and `reader` has read: the same lines in
the same order, those that decide something byte for byte, and the values of the others free, as far as they are
printable ASCII. What a head of that shape comes to follows from the first one, but for the target, the length, and the
few values that are taken from it. So one call says that llhttp would let a head through and what there is to know of
it: 1.1 µs with five fields, against 3.0. A head of no known shape says nothing, and is read as ever.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from operator import attrgetter
from typing import Final, Generic, TypeVar

from sidecar.wire.framing import LENGTH, NONE
from sidecar.wire.head import RequestHead, ResponseHead
from sidecar.wire.hopbyhop import (
    CONTENT_LENGTH,
    DATE,
    DROPPED,
    HOST,
    IDEMPOTENCY_KEY,
    ORDINARY,
    REQUEST_ID,
    RETRY_AFTER,
    TRACEPARENT,
    role_of,
)

MOST: Final = 8
"""Shapes that are kept at a time: each that a head is not of costs 0.1 µs."""
PACE: Final = 0.1
"""Seconds from one that is learnt to the next: it takes 0.3 ms, which bounds the cost of ever new ones."""
HEAD_BYTES: Final = 1024
FIELDS: Final = 32

_ANY: Final = rb":[ -~]*+"
_SOME: Final = rb": [!-~][ -~]*+"
_VALUE: Final = rb": ([!-~][ -~]*[!-~])"
_DIGITS: Final = rb": ([0-9]{1,18})"  # all that can be said with them is less than 2^63
_TARGET: Final = rb'(/[!"$-~]*+)'

# What may follow a field's name, by its role. A field whose role is not here is the same in all heads of a shape.
_ASKED: Final = {
    ORDINARY: _ANY,
    DATE: _ANY,
    RETRY_AFTER: _ANY,
    DROPPED: _ANY,
    IDEMPOTENCY_KEY: _SOME,
    REQUEST_ID: _VALUE,
    TRACEPARENT: _VALUE,
    CONTENT_LENGTH: _DIGITS,
}
_TOLD: Final = {
    ORDINARY: _ANY,
    HOST: _ANY,
    IDEMPOTENCY_KEY: _ANY,
    REQUEST_ID: _ANY,
    TRACEPARENT: _ANY,
    DROPPED: _ANY,
    DATE: _VALUE,
    RETRY_AFTER: _VALUE,
    CONTENT_LENGTH: _DIGITS,
}
_OBEYED: Final = b"proxy-connection"  # by llhttp, though it is not passed on

_new: Final = object.__new__
_of_request: Final = attrgetter(*RequestHead.__slots__)
_of_response: Final = attrgetter(*ResponseHead.__slots__)


class _Lines:
    """The field lines of a head as a pattern, and which of its groups hold what, counted from 0."""

    def __init__(self, lines: Sequence[bytes], fields: bytes, free: Mapping[int, bytes], groups: int) -> None:
        """`fields` has those of the lines that are passed on; so many `groups` precede."""
        self.taken: dict[int, int] = {}
        """The groups that hold values, by role; of a role's several fields the last."""
        self.kept: list[int] = []
        """The groups that hold what is passed on, in order."""
        pattern = b""
        was_kept = False
        for line in lines:
            is_kept = fields.startswith(line + b"\r\n")
            if is_kept:
                fields = fields[len(line) + 2 :]
            if was_kept and not is_kept:
                pattern += b")"
            elif is_kept and not was_kept:
                pattern += b"("
                self.kept.append(groups)
                groups += 1
            was_kept = is_kept
            name = line.partition(b":")[0]
            role = role_of(name)
            form = re.escape(name) + free.get(role, b"")
            if role in free and name.lower() != _OBEYED and re.fullmatch(form, line):
                pattern += form
                if b"(" in free[role]:
                    self.taken[role] = groups
                    groups += 1
            else:
                pattern += re.escape(line)
            pattern += rb"\r\n"
        self.pattern = pattern + (b")" if was_kept else b"")
        if not self.kept:
            raise ValueError("nothing is passed on")


class RequestShape:
    """The shape of one request."""

    __slots__ = ("_id", "_kept", "_length", "_like", "_rest", "_trace", "count", "match")

    def __init__(self, raw: bytes, head: RequestHead) -> None:
        """Raises ValueError for a request that has none."""
        line, *lines = raw[:-4].split(b"\r\n")
        if line != b"%b %b HTTP/1.1" % (head.method, head.target) or head.method == b"CONNECT" or head.upgrade:
            raise ValueError("a request of a rare kind has no shape")
        fields = _Lines(lines, head.fields, _ASKED, 1)
        self.match = re.compile(rb"%b %b HTTP/1\.1\r\n%b\r\n" % (re.escape(head.method), _TARGET, fields.pattern)).match
        self.count = len(lines)
        """Of fields."""
        self._like = copy(head)
        self._kept, *self._rest = fields.kept
        self._id = fields.taken.get(REQUEST_ID, 0)
        self._trace = fields.taken.get(TRACEPARENT, 0)
        self._length = fields.taken.get(CONTENT_LENGTH, 0)
        match = self.match(raw)
        if match is None or _of_request(self.head(match)) != _of_request(head):
            raise ValueError("a value is where none is expected")

    def head(self, match: re.Match[bytes]) -> RequestHead:
        """The head that has matched."""
        groups = match.groups()
        like = self._like
        head = _new(RequestHead)  # and each slot once: 65 ns less than to fill it with what would be overwritten
        head.method = like.method
        head.to_head = like.to_head
        head.target = groups[0]
        head.minor = 1
        head.length = None
        head.onward = head.upgrade = head.request_id = head.trace = b""
        head.retry_attempt = like.retry_attempt
        head.fields = groups[self._kept]
        for more in self._rest:
            head.fields += groups[more]
        head.host = like.host
        head.keep_alive = like.keep_alive
        head.keyed = like.keyed
        head.expects_continue = like.expects_continue
        if self._id:
            head.request_id = groups[self._id]
        if self._trace:
            head.trace = groups[self._trace]
        if self._length:
            length = head.length = int(groups[self._length])
            head.framing = LENGTH if length else NONE
        else:
            head.framing = like.framing
        return head


class ResponseShape:
    """The shape of one response, not to a HEAD."""

    __slots__ = ("_date", "_kept", "_length", "_like", "_line", "_rest", "_retry_after", "count", "match")

    def __init__(self, raw: bytes, head: ResponseHead) -> None:
        """Raises ValueError for a response that has none."""
        line, *lines = raw[:-4].split(b"\r\n")
        bodiless = head.status in (204, 304) and head.length is not None
        if line != b"HTTP/1.1 " + head.line or head.status < 200 or bodiless:
            raise ValueError("a response of a rare kind has no shape")
        fields = _Lines(lines, head.fields, _TOLD, 0)
        self.match = re.compile(rb"%b\r\n%b\r\n" % (re.escape(line), fields.pattern)).match
        self.count = len(lines)
        """Of fields."""
        self._like = copy(head)
        self._kept, *self._rest = fields.kept
        self._line = line + b"\r\n"
        self._date = fields.taken.get(DATE, -1)
        self._retry_after = fields.taken.get(RETRY_AFTER, -1)
        self._length = fields.taken.get(CONTENT_LENGTH, -1)
        match = self.match(raw)
        if match is None or _of_response(self.head(match)) != _of_response(head):
            raise ValueError("a value is where none is expected")

    def head(self, match: re.Match[bytes]) -> ResponseHead:
        """The head that has matched."""
        groups = match.groups()
        like = self._like
        head = _new(ResponseHead)
        head.status = head.verdict = like.status
        head.line = like.line
        head.minor = 1
        head.length = None
        head.upgrade = head.date = head.retry_after = b""
        head.peer_refusal = like.peer_refusal
        head.fields = groups[self._kept]
        for more in self._rest:
            head.fields += groups[more]
        head.onward = self._line + head.fields
        head.keep_alive = like.keep_alive
        if self._date >= 0:
            head.date = groups[self._date]
        if self._retry_after >= 0:
            head.retry_after = groups[self._retry_after]
        if self._length >= 0:
            length = head.length = int(groups[self._length])
            head.framing = LENGTH if length else NONE
        else:
            head.framing = like.framing
        return head


Head = TypeVar("Head", RequestHead, ResponseHead)
Shape = TypeVar("Shape", RequestShape, ResponseShape)


class Shapes(list[Shape], Generic[Shape, Head]):
    """The shapes met lately, the last one at the front."""

    def __init__(self, shape: Callable[[bytes, Head], Shape], clock: Callable[[], float]) -> None:
        super().__init__()
        self._shape: Callable[[bytes, Head], Shape] = shape
        self._clock = clock
        self._again = -math.inf

    def learn(self, raw: bytes, head: Head) -> None:
        """Take the shape of a head as it was read from all of `raw`, unless one was taken just now."""
        now = self._clock()
        if now < self._again or len(raw) > HEAD_BYTES or raw.count(b"\r\n") > FIELDS:
            return
        self._again = now + PACE
        try:
            shape = self._shape(raw, head)
        except ValueError:
            return
        del self[MOST - 1 :]
        self.insert(0, shape)

    def met(self, shape: Shape) -> None:
        """A head of this shape has come, and others of it are likely to follow."""
        self.remove(shape)
        self.insert(0, shape)
