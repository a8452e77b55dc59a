"""TLS on asyncio's transports: how endpoints and callers are spoken to, and what a handshake that failed is called."""

import contextlib
import socket
import ssl
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

from msgspec import Struct

from sidecar.governance.policy.tls import Origination, Termination
from sidecar.governance.trust.certificates import Certificates
from sidecar.proxy.replies import problem
from sidecar.wire.handshake import HandshakeFailure, handshake_failure

CALLERS_ALPN: Final = ("http/1.1",)
"""Spoken to callers. What is offered to endpoints is what the table of codecs has (`codecs.Codecs.alpn`)."""
SHUTDOWN_SECONDS: Final = 2.0
"""Seconds to wait for the other side's close_notify; then the connection is closed without it."""


class HandshakeFailed(ConnectionError):
    """No TLS connection; no byte of a request has been seen by the endpoint."""

    def __init__(self, failure: HandshakeFailure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


class ClientTls(Struct, frozen=True):
    """The client side of TLS for one destination. `server_name` None: each endpoint by its own host."""

    context: ssl.SSLContext
    server_name: str | None = None


class ServerTls(Struct, frozen=True):
    """The server side of TLS, for callers of ingress."""

    context: ssl.SSLContext


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


class _ServerContext(ssl.SSLContext):
    """Lets handshakes know where their words go, so that a caller can be told why his has failed."""

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        handshake = super().wrap_bio(incoming, outgoing, *args, **kwargs)
        assert isinstance(handshake, _ServerHandshake)
        handshake.outgoing = outgoing
        return handshake


class _ServerHandshake(ssl.SSLObject):
    """Sends the alert that says what is wrong (RFC 8446 §6.2): asyncio closes the connection without."""

    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            with contextlib.suppress(OSError, LookupError):
                words = PLAIN_HTTP if error.reason == "HTTP_REQUEST" else self.outgoing.read()
                SHAKING_ON.get().send(words)
            raise


SHAKING_ON: Final = ContextVar[socket.socket]("SHAKING_ON")
"""The client connection whose handshake is running: set at its start, for the alert if it fails."""

PLAIN_HTTP: Final = problem(400, HandshakeFailure.NOT_TLS.value, "this port speaks TLS: call it by https", close=True)
"""For a caller who speaks HTTP without TLS."""


def client_context(alpn: Sequence[str]) -> ssl.SSLContext:
    """A context with no trusted authority yet, that verifies everything. `alpn`: the protocols to offer, best first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslobject_class = _ClientHandshake
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(alpn)
    return context


def originating(said: Origination, certificates: Certificates, alpn: Sequence[str]) -> ClientTls:
    """The client side of TLS as the documents say, with the protocols `alpn` to choose from.

    The system's authorities are read here: some 50 ms.
    """
    context = client_context(alpn)
    context.minimum_version = said.min_version.number
    if not said.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif certificates.ca is None:
        context.load_default_certs()
    certificates.load_into(context)
    return ClientTls(context, said.server_name)


def terminating(said: Termination, certificates: Certificates) -> ServerTls:
    """The server side of TLS as the documents say."""
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _ServerHandshake
    context.minimum_version = said.min_version.number
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(CALLERS_ALPN)
    certificates.load_into(context)
    if certificates.ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return ServerTls(context)


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
    """The reason why an endpoint ended a connection of TLS 1.3, open for us before it has looked at our certificate.

    None for an end that is not about the certificate. The alert proves nothing about the request: an endpoint may send
    it after having read and executed what came with the end of the handshake.
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
