"""Host and port as a request names them (RFC 3986 §3.2, RFC 9110 §7.2): checked before they are used."""

import re
from functools import lru_cache
from typing import Final

from sidecar.wire.malformed import Malformed

_AUTHORITY = re.compile(
    rb"(?P<host>\[[0-9A-Fa-f:.]{2,45}(?:%25[0-9A-Za-z._~-]{1,16})?\]"
    rb"|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2}){1,255})"
    rb"(?::(?P<port>[0-9]{0,5}))?[ \t]*"
)

USUAL_BYTES: Final = 256
"""No longer value is remembered: blanks may follow it for as long as a head may be."""


def parse_authority(value: bytes) -> tuple[str, int | None]:
    """Host, lower-cased and without brackets, and port or None.

    Blanks after the value are not part of it (RFC 9112 §5). Raises Malformed (400, `host`) on userinfo, spaces, control
    and non-ASCII bytes, lists, more than 255 bytes of host, and ports past 65535.
    """
    return _usual_authority(value) if len(value) <= USUAL_BYTES else _authority(value)


def format_authority(host: str, port: int | None) -> bytes:
    """The bytes of a Host field; IPv6 addresses in brackets."""
    name = f"[{host}]" if ":" in host else host
    return (name if port is None else f"{name}:{port}").encode("ascii")


def _authority(value: bytes) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(value)
    if match is None:
        raise Malformed(400, "host", "the host is not a host with an optional port")
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        raise Malformed(400, "host", "the port of the host is out of range")
    return match["host"].decode("ascii").lower().strip("[]"), port


_usual_authority = lru_cache(maxsize=1024)(_authority)
