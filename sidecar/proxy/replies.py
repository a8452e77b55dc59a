"""Answers of the sidecar's own: problem+json (RFC 9457) that never pretends to come from the upstream."""

import json
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from sidecar.engine.policy import MAX_ATTEMPTS_CEILING

TYPE_PREFIX: Final = "urn:retry-sidecar:problem:"
ATTEMPTS_LINES: Final = tuple(b"x-sidecar-attempts: %d\r\n" % number for number in range(MAX_ATTEMPTS_CEILING + 2))
"""The header that tells how many attempts an answer took, by their number: at most the ceiling, and one reconnect."""


_HEAD: Final = (
    b"HTTP/1.1 %d %b\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nDate: %b\r\n%b%b\r\n%b"
)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode("ascii")


@lru_cache(maxsize=512)
def _body(status: int, reason: str, destination: str, detail: str) -> bytes:
    problem: dict[str, object] = {
        "type": TYPE_PREFIX + reason,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "reason": reason,
    }
    if destination:
        problem["destination"] = destination
    return json.dumps(problem, separators=(",", ":")).encode("utf-8") + b"\n"


def problem(
    status: int,
    reason: str,
    detail: str,
    *,
    destination: str = "",
    added: bytes = b"",
    to_head: bool = False,
    close: bool = False,
) -> bytes:
    """A whole response. `added` are header lines ended by CRLF; `to_head` leaves the body out, not its length."""
    body = _body(status, reason, destination, detail)
    return _HEAD % (
        status,
        HTTPStatus(status).phrase.encode("ascii"),
        len(body),
        _date(int(time.time())),
        added,
        b"Connection: close\r\n" if close else b"",
        b"" if to_head else body,
    )
