"""Authorities and certificates for tests; made once, for making them takes time."""

import ssl
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import trustme

HOST = "localhost"


def authority(name: str = "ours") -> trustme.CA:
    """An authority; another name is another one."""
    return _authority(name)  # remembered by its name, given or not


@cache
def _authority(name: str) -> trustme.CA:
    return trustme.CA(organization_name=name)


@cache
def certificate(host: str = HOST, by: str = "ours", begins: int = 2000, ends: int = 2100) -> trustme.LeafCert:
    """A certificate for `host`, from the first day of one year to the first of another."""
    return authority(by).issue_cert(
        host, not_before=datetime(begins, 1, 1, tzinfo=UTC), not_after=datetime(ends, 1, 1, tzinfo=UTC)
    )


def server_context(
    leaf: trustme.LeafCert | None = None,
    *,
    client_ca: str | None = None,
    newest: ssl.TLSVersion | None = None,
    oldest: ssl.TLSVersion | None = None,
    alpn: tuple[str, ...] = ("http/1.1",),
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (leaf or certificate()).configure_cert(context)
    context.set_alpn_protocols(alpn)
    if client_ca is not None:
        authority(client_ca).configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    if newest is not None:
        context.maximum_version = newest
    if oldest is not None:
        context.minimum_version = oldest
    return context


def write_pair(folder: Path, leaf: trustme.LeafCert, name: str = "client") -> tuple[Path, Path]:
    """The certificate with its chain, and its key, as two PEM files."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return cert, key


def write_authority(folder: Path, name: str = "ours") -> Path:
    file = folder / f"{name}-ca.pem"
    file.write_bytes(authority(name).cert_pem.bytes())
    return file
