"""TLS on asyncio's transports: how endpoints are spoken to, and what a handshake that failed is called."""

import ssl
from dataclasses import dataclass
from typing import Final

from sidecar.wire.handshake import HandshakeFailure, handshake_failure

ALPN: Final = ("http/1.1",)
SHUTDOWN_SECONDS: Final = 2.0
"""For the other side to say goodbye in TLS; then the connection is closed without."""


class HandshakeFailed(ConnectionError):
    """No TLS connection; no byte of a request has been seen by whoever would answer it."""

    def __init__(self, failure: HandshakeFailure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How one destination is spoken to in TLS. `server_name` None: each endpoint by its own host."""

    context: ssl.SSLContext
    server_name: str | None = None


class _ClientHandshake(ssl.SSLObject):
    """Tells a certificate that was demanded and not shown from other failures, which TLS 1.2 has one alert for."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLError as error:
            # The cipher is chosen by the ServerHello. What an endpoint still refuses after it is what we have shown.
            if error.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE" and self.cipher() is not None:
                error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
            raise


def client_context() -> ssl.SSLContext:
    """A context that trusts nobody yet and verifies everything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslobject_class = _ClientHandshake
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    return context


def failure_of(error: BaseException) -> HandshakeFailure:
    """The word for what came out of a handshake."""
    match error:
        case HandshakeFailed():
            return error.failure
        case ssl.SSLCertVerificationError():
            return handshake_failure(error.reason, error.verify_code)
        case ssl.SSLError():
            return handshake_failure(error.reason, None)
        case TimeoutError():
            return HandshakeFailure.TIMEOUT
    return HandshakeFailure.HANDSHAKE


def refused_late(error: BaseException | None) -> HandshakeFailure | None:
    """What ended a connection that TLS 1.3 took for open before the endpoint had looked at our certificate.

    Its alert says that nothing after the handshake was read (RFC 8446 §4.4.2.4, §6.2). None for any other end.
    """
    if not isinstance(error, ssl.SSLError) or error.errno != ssl.SSL_ERROR_SSL:
        return None
    failure = handshake_failure(error.reason, None)
    return failure if failure is HandshakeFailure.CLIENT_CERTIFICATE else None


def ended_cleanly(tls: ssl.SSLObject | None) -> bool:
    """Whether the end of what was read is the sender's word and not a cut: in TLS its close_notify (RFC 8446 §6.1)."""
    if tls is None:
        return True
    try:
        return not tls.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False
