"""Answers of the sidecar's own, before they are bytes: which status, which reason, and the sentence for people."""

from typing import Final

from msgspec import Struct

from sidecar.engine.outcome import Fault
from sidecar.engine.verdict import Refusal
from sidecar.wire.handshake import HandshakeFailure


class Problem(Struct, frozen=True):
    """`reason` is a word of docs/refusals.md."""

    status: int
    reason: str
    detail: str
    destination: str = ""
    request_id: str = ""
    limit: str = ""
    """The limit or time-out that was hit, and its value: "timeout 10s"."""


FAULT_DETAIL: Final[dict[Fault | HandshakeFailure, str]] = {
    **{failure: f"{failure.detail}; nothing was sent" for failure in HandshakeFailure},
    HandshakeFailure.CLIENT_CERTIFICATE: f"{HandshakeFailure.CLIENT_CERTIFICATE.detail}; in TLS 1.3 it says so after "
    "the request has left, which may have been executed",
    Fault.CONNECT_FAILURE: "no connection to the destination could be made; nothing was sent",
    Fault.RESET: "the destination closed the connection before it answered; the request may have been executed",
    Fault.PROTOCOL: "the destination's answer is not HTTP/1.1",
    Fault.TIMEOUT: "the destination did not answer in time; the request may have been executed",
}
REFUSAL_DETAIL: Final = {
    Refusal.BREAKER_OPEN: "the destination keeps failing; it is left alone for a moment",
    Refusal.CONCURRENCY_LIMIT: "all places at the destination are taken, and the queue is full or too slow",
}
REFUSAL_LINES: Final = {refusal: b"x-sidecar-refusal: %b\r\n" % refusal.value.encode() for refusal in Refusal}
"""The header that tells why a wanted retry was not made, or why the request was not sent."""
