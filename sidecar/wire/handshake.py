"""The reason why a TLS handshake failed, in one word: the same in the problem's `reason`, metric, log and docs.

Which word is decided by what OpenSSL says: the code of a failed verification, or the name of an error or alert.
"""

from enum import Enum
from typing import Final


class HandshakeFailure(Enum):
    """No TLS connection could be had, and why. `detail` is the sentence for the sender of the request."""

    HOSTNAME = "tls_hostname"
    EXPIRED = "tls_expired"
    NOT_YET_VALID = "tls_not_yet_valid"
    SELF_SIGNED = "tls_self_signed"
    UNKNOWN_CA = "tls_unknown_ca"
    CERTIFICATE = "tls_certificate"
    CLIENT_CERTIFICATE = "tls_client_certificate"
    VERSION = "tls_version"
    ALPN = "tls_alpn"
    NOT_TLS = "tls_not_tls"
    TIMEOUT = "tls_timeout"
    HANDSHAKE = "tls_handshake"

    @property
    def permanent(self) -> bool:
        """Whether it would fail again: only another certificate or configuration can mend it."""
        return self not in (HandshakeFailure.TIMEOUT, HandshakeFailure.HANDSHAKE)

    @property
    def detail(self) -> str:
        """The failure, in a sentence."""
        return _DETAILS[self]


_DETAILS: Final = {
    HandshakeFailure.HOSTNAME: "the destination's certificate is for another name",
    HandshakeFailure.EXPIRED: "the destination's certificate, or one it depends on, has expired",
    HandshakeFailure.NOT_YET_VALID: "the destination's certificate, or one it depends on, is not valid yet",
    HandshakeFailure.SELF_SIGNED: "the destination's certificate is signed by itself and not among the trusted ones",
    HandshakeFailure.UNKNOWN_CA: "the destination's certificate is from an authority that is not trusted",
    HandshakeFailure.CERTIFICATE: "the destination's certificate can not be accepted",
    HandshakeFailure.CLIENT_CERTIFICATE: "the destination demands a client certificate that it was not shown",
    HandshakeFailure.VERSION: "the destination and the sidecar have no version of TLS in common",
    HandshakeFailure.ALPN: "the destination does not speak HTTP/1.1 in TLS",
    HandshakeFailure.NOT_TLS: "the destination does not speak TLS on this port",
    HandshakeFailure.TIMEOUT: "the destination accepted the connection, but the TLS handshake took too long",
    HandshakeFailure.HANDSHAKE: "the TLS handshake with the destination failed",
}

HANDSHAKE_FAILURES: Final = tuple(failure.value for failure in HandshakeFailure)
"""Every word, for those who list them."""

_BY_VERIFY_CODE: Final = {  # X509_V_ERR_*, openssl/x509_vfy.h
    2: HandshakeFailure.UNKNOWN_CA,  # UNABLE_TO_GET_ISSUER_CERT
    9: HandshakeFailure.NOT_YET_VALID,  # CERT_NOT_YET_VALID
    10: HandshakeFailure.EXPIRED,  # CERT_HAS_EXPIRED
    18: HandshakeFailure.SELF_SIGNED,  # DEPTH_ZERO_SELF_SIGNED_CERT
    19: HandshakeFailure.UNKNOWN_CA,  # SELF_SIGNED_CERT_IN_CHAIN: the chain's root came along, and is not trusted
    20: HandshakeFailure.UNKNOWN_CA,  # UNABLE_TO_GET_ISSUER_CERT_LOCALLY
    21: HandshakeFailure.UNKNOWN_CA,  # UNABLE_TO_VERIFY_LEAF_SIGNATURE
    62: HandshakeFailure.HOSTNAME,  # HOSTNAME_MISMATCH
    64: HandshakeFailure.HOSTNAME,  # IP_ADDRESS_MISMATCH
}

_BY_REASON: Final = {
    # Alerts that say something about the certificate we showed, or did not show (RFC 8446 §6.2).
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": HandshakeFailure.CLIENT_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": HandshakeFailure.CLIENT_CERTIFICATE,
    "TLSV1_ALERT_ACCESS_DENIED": HandshakeFailure.CLIENT_CERTIFICATE,
    "TLSV1_ALERT_DECRYPT_ERROR": HandshakeFailure.CLIENT_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": HandshakeFailure.CLIENT_CERTIFICATE,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": HandshakeFailure.CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": HandshakeFailure.CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": HandshakeFailure.CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": HandshakeFailure.CLIENT_CERTIFICATE,
    "SSLV3_ALERT_NO_CERTIFICATE": HandshakeFailure.CLIENT_CERTIFICATE,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": HandshakeFailure.CLIENT_CERTIFICATE,
    "TLSV1_ALERT_PROTOCOL_VERSION": HandshakeFailure.VERSION,
    "UNSUPPORTED_PROTOCOL": HandshakeFailure.VERSION,
    "WRONG_SSL_VERSION": HandshakeFailure.VERSION,
    "NO_PROTOCOLS_AVAILABLE": HandshakeFailure.VERSION,
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": HandshakeFailure.ALPN,
    "NO_APPLICATION_PROTOCOL": HandshakeFailure.ALPN,
    "WRONG_VERSION_NUMBER": HandshakeFailure.NOT_TLS,
    "HTTP_REQUEST": HandshakeFailure.NOT_TLS,
    "HTTPS_PROXY_REQUEST": HandshakeFailure.NOT_TLS,
    "UNKNOWN_PROTOCOL": HandshakeFailure.NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": HandshakeFailure.NOT_TLS,
}


def handshake_failure(reason: str | None, verify_code: int | None) -> HandshakeFailure:
    """The word for an error of OpenSSL's: its symbolic `reason`, and the `verify_code` of a failed verification."""
    if verify_code is not None:
        return _BY_VERIFY_CODE.get(verify_code, HandshakeFailure.CERTIFICATE)
    return _BY_REASON.get(reason or "", HandshakeFailure.HANDSHAKE)
