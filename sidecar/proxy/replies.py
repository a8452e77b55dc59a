"""Answers of the sidecar's own: problem+json (RFC 9457) that never pretends to come from the upstream."""

import json
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from sidecar.engine.destination import UNLISTED
from sidecar.engine.policy import MAX_ATTEMPTS_CEILING
from sidecar.wire.head import ResponseHead

TYPE_PREFIX: Final = "urn:retry-sidecar:problem:"
ATTEMPTS_LINES: Final = tuple(b"x-sidecar-attempts: %d\r\n" % number for number in range(MAX_ATTEMPTS_CEILING + 2))
"""The header that tells how many attempts an answer took, by their number: at most the ceiling, and one reconnect."""
CONTINUE: Final = ResponseHead(100, b"100 Continue", 1)
"""Asks a client for its body, where the sidecar reads that whole before it sends anything (RFC 9110 §10.1.1)."""

_CLIENT_ERROR: Final = b"http_request_error"
_PROXY_STATUS: Final = {
    "connect_failure": b"destination_unavailable",
    "reset": b"connection_terminated",
    "protocol": b"http_protocol_error",
    "timeout": b"http_response_timeout",
    "breaker_open": b"destination_unavailable",
    "concurrency_limit": b"connection_limit_reached",
    UNLISTED: b"destination_not_found",
    "loop": b"proxy_loop_detected",
    "address_refused": b"destination_ip_prohibited",
    "connect_refused": b"http_request_denied",
    "connect_governed": b"http_request_denied",
    "out_of_files": b"proxy_internal_error",
    "tls_client_certificate": b"tls_alert_received",
    **dict.fromkeys(("tls_version", "tls_alpn", "tls_not_tls", "tls_timeout", "tls_handshake"), b"tls_protocol_error"),
    **dict.fromkeys(
        ("tls_hostname", "tls_expired", "tls_not_yet_valid", "tls_self_signed", "tls_unknown_ca", "tls_certificate"),
        b"tls_certificate_error",
    ),
}
"""The type of error of Proxy-Status (RFC 9209 §2.3) for each reason; what is not here is wrong with the request."""
_HEAD: Final = (
    b"HTTP/1.1 %d %b\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nDate: %b\r\n%b%b\r\n%b"
)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode("ascii")


@lru_cache(maxsize=512)
def _body(status: int, reason: str, destination: str, detail: str, limit: str) -> bytes:
    problem: dict[str, object] = {
        "type": TYPE_PREFIX + reason,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "reason": reason,
    }
    if destination:
        problem["destination"] = destination
    if limit:
        problem["limit"] = limit
    return json.dumps(problem, separators=(",", ":")).encode("utf-8") + b"\n"


def problem(
    status: int,
    reason: str,
    detail: str,
    *,
    destination: str = "",
    request_id: str = "",
    limit: str = "",
    added: bytes = b"",
    to_head: bool = False,
    close: bool = False,
) -> bytes:
    """A whole response. `added` are header lines ended by CRLF; `to_head` leaves the body out, not its length.

    `limit` is the limit or time-out that was hit, with its value.
    """
    body = _body(status, reason, destination, detail, limit)
    if request_id:
        body = body[:-2] + b',"request_id":%b}\n' % json.dumps(request_id).encode("ascii")
    return _HEAD % (
        status,
        HTTPStatus(status).phrase.encode("ascii"),
        len(body),
        _date(int(time.time())),
        b"Proxy-Status: sidecar; error=%b\r\n" % _PROXY_STATUS.get(reason, _CLIENT_ERROR) + added,
        b"Connection: close\r\n" if close else b"",
        b"" if to_head else body,
    )
