"""A TLS 1.3 server of OpenSSL's that sends a fatal alert when it likes, for `ssl` has no call for that.

The record is encrypted with the connection's own keys (RFC 8446 §5.2, §7.3), which OpenSSL writes to the key log.
"""

import os
import ssl
import struct
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

BAD_CERTIFICATE: Final = 42
ACCESS_DENIED: Final = 49
CERTIFICATE_REQUIRED: Final = 116
_FATAL: Final = 2
_ALERT: Final = 21
_SECRET: Final = "SERVER_TRAFFIC_SECRET_0"


def log_keys(context: ssl.SSLContext, file: Path) -> None:
    """Let `context` serve TLS 1.3 such that `send_alert` can speak for its first connection."""
    context.keylog_filename = str(file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a ticket would be a record of its own, and the number of each is part of its encryption


def send_alert(sock: ssl.SSLSocket, keys: Path, description: int) -> None:
    """Send a fatal alert as the first record after the handshake."""
    lines = [line.split() for line in keys.read_text().splitlines()]
    secret = next(bytes.fromhex(line[2]) for line in lines if line[0] == _SECRET)
    key, nonce = _expand(secret, b"key", 32), _expand(secret, b"iv", 12)
    record = bytes((_FATAL, description, _ALERT))
    head = b"\x17\x03\x03" + struct.pack("!H", len(record) + 16)
    os.write(sock.fileno(), head + AESGCM(key).encrypt(nonce, record, head))


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label without context (RFC 8446 §7.1), of TLS_AES_256_GCM_SHA384."""
    label = b"tls13 " + label
    return HKDFExpand(SHA384(), length, struct.pack("!HB", length, len(label)) + label + b"\0").derive(secret)
