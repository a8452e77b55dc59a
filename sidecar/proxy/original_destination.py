"""The address that a connection was going to before a rule of netfilter redirected it to this sidecar."""

import socket
import struct
from typing import Final

from sidecar.net import Address, canonical_host

_SO_ORIGINAL_DST: Final = 80  # linux/netfilter_ipv4.h
_IP6T_SO_ORIGINAL_DST: Final = 80  # linux/netfilter_ipv6/ip6_tables.h
_SOCKADDR_IN: Final = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6: Final = struct.Struct("!2xH4x16s4x")


def original_destination(sock: socket.socket) -> Address | None:
    """The address and port that the caller connected to; None where no rule redirected the connection."""
    if sock.family == socket.AF_INET6:
        level, option, form = socket.IPPROTO_IPV6, _IP6T_SO_ORIGINAL_DST, _SOCKADDR_IN6
    else:
        level, option, form = socket.IPPROTO_IP, _SO_ORIGINAL_DST, _SOCKADDR_IN
    try:
        port, packed = form.unpack(sock.getsockopt(level, option, form.size))
    except OSError:  # ENOENT: the kernel has no translated connection of this name
        return None
    host = canonical_host(socket.inet_ntop(sock.family, packed))
    own = sock.getsockname()
    if (host, port) == (canonical_host(own[0]), own[1]):
        return None  # the kernel follows the connection, and nothing was redirected
    return Address(host, port)
