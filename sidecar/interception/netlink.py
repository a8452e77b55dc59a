"""The rules of a redirection as messages to the kernel (nfnetlink, nf_tables), without any tool: the image needs none.

One batch is one transaction: earlier rules of ours are replaced, or nothing is changed. The numbers are those of
linux/netfilter/nf_tables.h and nfnetlink.h; `nft` shows what comes of them as the rules of `Redirection.nft`.
"""

import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from sidecar.interception.redirection import LEFT_OUT, TABLE, Redirection

_NETLINK_NETFILTER: Final = 12
_SUBSYSTEM: Final = 10
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_ERROR, _BATCH_BEGIN, _BATCH_END = 0x2, 0x10, 0x11
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = (_SUBSYSTEM << 8 | number for number in (0, 2, 3, 6))
_INET, _IPV4, _IPV6 = 1, 2, 10
"""NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6."""
_NESTED: Final = 0x8000
_CHAIN: Final = "output"
_LOCAL_OUT, _PRIORITY, _ACCEPT, _RETURN = 3, -100, 1, -5
_OIF_NAME, _SOCKET_UID, _NETWORK_PROTOCOL, _TRANSPORT_PROTOCOL = 7, 10, 15, 16
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_DESTINATION: Final = {_IPV4: (16, 4), _IPV6: (24, 16)}
"""Offset and length of the destination's address in the header."""
_PORT_SPECIFIED: Final = 2
_TIMEOUT_SECONDS: Final = 5.0
_HEADER: Final = struct.Struct("=IHHII")
_ANSWER_BYTES: Final = 64 << 10


class KernelRefused(OSError):
    """The kernel does not take the rules; `errno` is its reason."""


def write(redirection: Redirection) -> None:
    """Put the rules in force, in place of earlier ones of ours. Raises KernelRefused; then nothing is changed."""
    table = _text(1, TABLE)
    chain = _text(1, TABLE) + _text(3, _CHAIN) + _text(7, "nat") + _number(5, _ACCEPT)
    chain += _nested(4, _number(1, _LOCAL_OUT) + _attribute(2, struct.pack("!i", _PRIORITY)))
    rules = [_text(1, TABLE) + _text(2, _CHAIN) + _nested(4, rule) for rule in _rules(redirection)]
    _send(
        [
            (_NEW_TABLE, _CREATE, table),
            (_DELETE_TABLE, 0, table),
            (_NEW_TABLE, _CREATE, table),
            (_NEW_CHAIN, _CREATE, chain),
            *((_NEW_RULE, _CREATE | _APPEND, rule) for rule in rules),
        ]
    )


def remove() -> None:
    """Take our rules out, if there are any. Raises KernelRefused."""
    table = _text(1, TABLE)
    _send([(_NEW_TABLE, _CREATE, table), (_DELETE_TABLE, 0, table)])


def _rules(redirection: Redirection) -> Iterator[bytes]:
    """The expressions of each rule, in the order of `Redirection.nft`."""
    yield _meta(_SOCKET_UID) + _equal(struct.pack("=I", redirection.uid)) + _verdict(_RETURN)
    yield _meta(_OIF_NAME) + _equal(b"lo".ljust(16, b"\0")) + _verdict(_RETURN)
    for written in (*LEFT_OUT[4], *LEFT_OUT[6]):
        yield _to(ip_network(written)) + _verdict(_RETURN)
    for port in redirection.ports:
        tcp = _meta(_TRANSPORT_PROTOCOL) + _equal(bytes([socket.IPPROTO_TCP]))
        dport = _payload(_TRANSPORT_HEADER, 2, 2) + _equal(struct.pack("!H", port))
        to = _expression("immediate", _number(1, 1) + _nested(2, _attribute(1, struct.pack("!H", redirection.to))))
        yield tcp + dport + to + _expression("redir", _number(1, 1) + _number(3, _PORT_SPECIFIED))


def _to(network: IPv4Network | IPv6Network) -> bytes:
    """Whether the destination is in a network."""
    protocol = _IPV4 if network.version == 4 else _IPV6
    offset, length = _DESTINATION[protocol]
    match = _meta(_NETWORK_PROTOCOL) + _equal(bytes([protocol])) + _payload(_NETWORK_HEADER, offset, length)
    if network.prefixlen < network.max_prefixlen:
        mask, nothing = (_attribute(1, content) for content in (network.netmask.packed, bytes(length)))
        registers = _number(1, 1) + _number(2, 1) + _number(3, length)
        match += _expression("bitwise", registers + _nested(4, mask) + _nested(5, nothing))
    return match + _equal(network.network_address.packed)


def _meta(key: int) -> bytes:
    return _expression("meta", _number(2, key) + _number(1, 1))


def _payload(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", _number(1, 1) + _number(2, base) + _number(3, offset) + _number(4, length))


def _equal(value: bytes) -> bytes:
    return _expression("cmp", _number(1, 1) + _number(2, 0) + _nested(3, _attribute(1, value)))


def _verdict(code: int) -> bytes:
    return _expression("immediate", _number(1, 0) + _nested(2, _nested(2, _attribute(1, struct.pack("!i", code)))))


def _expression(name: str, content: bytes) -> bytes:
    return _nested(1, _text(1, name) + _nested(2, content))


def _attribute(kind: int, content: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(content), kind) + content + bytes(-len(content) % 4)


def _nested(kind: int, content: bytes) -> bytes:
    return _attribute(kind | _NESTED, content)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("!I", value))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode("ascii") + b"\0")


def _message(kind: int, flags: int, number: int, family: int, resource: int, content: bytes = b"") -> bytes:
    body = struct.pack("!BBH", family, 0, resource) + content
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, number, 0) + body


def _send(messages: list[tuple[int, int, bytes]]) -> None:
    """One transaction; the kernel says of each message whether it was taken."""
    batch = _message(_BATCH_BEGIN, 0, 0, 0, _SUBSYSTEM)
    for number, (kind, flags, content) in enumerate(messages, 1):
        batch += _message(kind, flags | _ACK, number, _INET, 0, content)
    batch += _message(_BATCH_END, 0, len(messages) + 1, 0, _SUBSYSTEM)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
            kernel.settimeout(_TIMEOUT_SECONDS)
            kernel.bind((0, 0))
            kernel.send(batch)
            taken = 0
            while taken < len(messages):
                taken += _taken(kernel.recv(_ANSWER_BYTES))
    except KernelRefused:
        raise
    except OSError as error:
        raise KernelRefused(error.errno, error.strerror or str(error)) from error


def _taken(answer: bytes) -> int:
    """The messages that an answer says were taken. Raises KernelRefused for the first that was not."""
    taken = 0
    while len(answer) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(answer)
        if kind == _ERROR:
            (code,) = struct.unpack_from("=i", answer, _HEADER.size)
            if code:
                raise KernelRefused(-code, os.strerror(-code))
            taken += 1
        answer = answer[(length + 3) & ~3 :]
    return taken
