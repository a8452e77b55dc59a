"""The W3C Trace Context of a request: which trace it belongs to, whose child it is, and whether that is recorded.

https://www.w3.org/TR/trace-context/ §3.2. `traceparent: version-traceid-parentid-flags`, in lower-case hex.
"""

import re
from collections.abc import Collection
from typing import Final

from msgspec import Struct

SAMPLED: Final = 0x01
_KNOWN_FLAGS: Final = 0x03  # sampled, and random (level 2); §3.2.2.5: the others must be sent as zero

_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)


class TraceContext(Struct, frozen=True):
    """`parent_id` is the span that the request is a child of, 0 when it begins its trace."""

    trace_id: int
    parent_id: int
    flags: int

    @property
    def sampled(self) -> bool:
        """Whether the caller records this trace."""
        return bool(self.flags & SAMPLED)

    def line(self, span_id: int) -> bytes:
        """The header line of a request that is the child of `span_id`, ended by CRLF."""
        return b"traceparent: 00-%032x-%016x-%02x\r\n" % (self.trace_id, span_id, self.flags & _KNOWN_FLAGS)


def parse_traceparent(value: bytes) -> TraceContext | None:
    """The context in a header's value; None for one that is not well-formed, and has to be ignored (§3.2.2)."""
    match = _FORM.fullmatch(value)
    # A later version may add fields at the end; version 00 has none, and ff is none.
    if match is None or match[1] == b"ff" or (match[1] == b"00" and match[5] is not None):
        return None
    trace_id, parent_id = int(match[2], 16), int(match[3], 16)
    return TraceContext(trace_id, parent_id, int(match[4], 16)) if trace_id and parent_id else None


def without(fields: bytes, names: Collection[bytes]) -> bytes:
    """`fields`, lines ended by CRLF, less those called one of `names`, which are lower-cased."""
    lines = fields.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in names)


def count(fields: bytes, name: bytes) -> int:
    """The number of lines of `fields` with the name `name`, which is lower-cased."""
    return (b"\r\n" + fields.lower()).count(b"\r\n" + name + b":")
