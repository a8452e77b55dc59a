"""The chunked coding (RFC 9112 §7.1): read strictly, to the byte, and written anew."""

import re
from typing import Final

from sidecar.wire.hopbyhop import FORBIDDEN_TRAILERS, ORDINARY, role_of
from sidecar.wire.malformed import Malformed

_MAX_LINE: Final = 4096
_MAX_TRAILERS: Final = 100
_PLAIN_LINE: Final = 16
_MAX_EXCESS: Final = 16384
"""Bytes that the lines of sizes may be longer than _PLAIN_LINE and twice their chunks, in a row: extensions are dropped
here, so without it a body of few bytes, which no limit of a body holds back, could be sent for ever."""
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_SIZE_SO_FAR: Final = re.compile(rb"[0-9A-Fa-f]{1,15}[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*+([\t\x20-\x7e\x80-\xff]*)")
LAST_CHUNK: Final = b"0\r\n\r\n"


class ChunkedReader:
    """One body's chunks. `done` once the last line has come; `rest` is then what followed it."""

    __slots__ = (
        "_excess",
        "_line",
        "_max_trailer_bytes",
        "_remaining",
        "_state",
        "_trailer_bytes",
        "_trailers",
        "done",
        "rest",
    )

    _SIZE_LINE, _DATA, _DATA_END, _TRAILER = range(4)

    def __init__(self, max_trailer_bytes: int = 65536) -> None:
        self._state = self._SIZE_LINE
        self._line = b""
        self._remaining = 0
        self._excess = 0
        self._trailer_bytes = 0
        self._trailers: list[bytes] = []
        self._max_trailer_bytes = max_trailer_bytes
        self.done = False
        self.rest = b""

    @property
    def trailers(self) -> bytes:
        """The trailer lines that may be passed on, each ended by CRLF."""
        return b"".join(self._trailers)

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`, without its framing. Raises Malformed: 400, or 431 for the trailer."""
        payload: list[bytes] = []
        at = 0
        size = len(data)
        while at < size and not self.done:
            if self._state == self._DATA:
                piece = data[at : at + self._remaining]
                payload.append(piece)
                at += len(piece)
                self._remaining -= len(piece)
                if not self._remaining:
                    self._state = self._DATA_END
                continue
            end = data.find(b"\n", at)
            line = self._line + data[at : size if end < 0 else end + 1]
            self._check(line)
            if end < 0:
                self._line = line
                break
            self._line = b""
            at = end + 1
            self._end_of_line(line[:-2])
        if self.done:
            self.rest = data[at:]
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _check(self, line: bytes) -> None:
        """Refuse a line as soon as it can not become a good one."""
        if self._state == self._TRAILER:
            if self._trailer_bytes + len(line) > self._max_trailer_bytes:
                raise Malformed(431, "head_too_large", "the trailer is too large")
        elif len(line) > _MAX_LINE:
            raise Malformed(400, "bad_chunk", "the line of a chunk's size is too long")
        if line.endswith(b"\n"):
            if not line.endswith(b"\r\n"):
                raise Malformed(400, "bad_chunk", "a bare line feed")
            line = line[:-2]
        elif line.endswith(b"\r"):
            line = line[:-1]
        if b"\r" in line:
            raise Malformed(400, "bad_chunk", "a bare carriage return")
        if self._state == self._DATA_END and line:
            raise Malformed(400, "bad_chunk", "a chunk is longer than its size")
        if self._state == self._SIZE_LINE and line and _SIZE_SO_FAR.fullmatch(line) is None:
            raise Malformed(400, "bad_chunk", "a chunk's size is not a hexadecimal number")

    def _end_of_line(self, line: bytes) -> None:
        if self._state == self._DATA_END:
            self._state = self._SIZE_LINE
        elif self._state == self._SIZE_LINE:
            match = _SIZE.fullmatch(line)
            if match is None:
                raise Malformed(400, "bad_chunk", "a chunk's size is not a hexadecimal number")
            self._remaining = int(match[1], 16)
            if self._excess or len(line) > _PLAIN_LINE:
                self._excess = max(0, self._excess + len(line) - _PLAIN_LINE - 2 * self._remaining)
                if self._excess > _MAX_EXCESS:
                    raise Malformed(
                        400, "bad_chunk", "there is more in the lines of the chunks' sizes than in the chunks"
                    )
            self._state = self._DATA if self._remaining else self._TRAILER
        elif not line:
            self.done = True
        else:
            self._trailer_bytes += len(line) + 2
            match = _FIELD.fullmatch(line)
            if match is None:
                raise Malformed(400, "bad_chunk", "a trailer field is malformed")
            name = match[1].lower()
            if name not in FORBIDDEN_TRAILERS and role_of(name) == ORDINARY:
                if len(self._trailers) >= _MAX_TRAILERS:
                    raise Malformed(431, "too_many_fields", f"more than {_MAX_TRAILERS} trailer fields")
                self._trailers.append(line + b"\r\n")


def chunk(data: bytes) -> bytes:
    """One chunk; `data` must not be empty, for an empty chunk is the last."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: bytes) -> bytes:
    """The end of a body, with its trailer lines (each ended by CRLF) if it has any."""
    return b"0\r\n" + trailers + b"\r\n" if trailers else LAST_CHUNK
