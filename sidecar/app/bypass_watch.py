"""Connections of the service to governed addresses that do not go through this sidecar.

All containers of a pod share one network namespace, and /proc/net/tcp lists every socket in it with its owner's uid: no
process has to be looked into, and the process namespace need not be shared. Sampled, in a thread, off the path of
requests: a connection that is shorter than the time between two samples may not be seen.
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from sidecar.net import canonical_host

Sockets = Mapping[str, Collection[tuple[str, int]]]
"""The addresses and ports of each destination."""

_EVERY_SECONDS: Final = 10.0
TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_MAX_BYTES: Final = 4 << 20
"""Of each table: 25,000 sockets. What is beyond is not looked at."""
_MAPPED: Final = b"".join(b"%08X" % word for word in struct.unpack("=3I", b"\0" * 10 + b"\xff\xff"))
"""The words before an IPv4 address that is written as one of IPv6 (RFC 4291 §2.5.5.2)."""
_SLICE: Final = 500
"""Rows between two rests, 0.4 ms: without them the thread would keep the interpreter for 5 ms at a time."""
_OPEN: Final = {b"01", b"02"}
"""ESTABLISHED and SYN_SENT, in include/net/tcp_states.h."""


class BypassWatch:
    """Counts them every 10 s. `counts` is as of the last sample, by destination."""

    def __init__(self, sockets: Callable[[], Sockets], interception_ports: Callable[[], frozenset[int]]) -> None:
        self.counts: Mapping[str, int] = {}
        self._sockets = sockets
        self._interception_ports = interception_ports

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            await self.sample()
            await asyncio.sleep(_EVERY_SECONDS)

    async def sample(self) -> None:
        """Sample once."""
        sockets, ports = self._sockets(), self._interception_ports()
        self.counts = await asyncio.to_thread(_sampled, sockets, ports)


def bypassing(
    tables: Collection[bytes],
    sockets: Sockets,
    interception_ports: Collection[int],
    uid: int,
    rest: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Open connections past the sidecar in `tables`, texts of /proc/net/tcp and tcp6, by destination.

    `uid` is the sidecar's own: its sockets are what governance looks like. A connection that was redirected to one of
    `interception_ports` still shows where it was going, and is told by its other end, which is here. `rest` is called
    after every `_SLICE` rows.

    Rows are compared as they are written, and not decoded: 10,000 take 7 ms, and took 52 ms decoded.
    """
    owners = {_written(*address): name for name, addresses in sockets.items() for address in addresses}
    counts = dict.fromkeys(sockets, 0)
    found: list[tuple[bytes, str]] = []
    intercepted: set[bytes] = set()
    ours = {f"{port:04X}".encode() for port in interception_ports}
    for table in tables:
        for number, line in enumerate(table.split(b"\n")[1:], 1):
            if not number % _SLICE:
                rest()
            fields = line.split(None, 8)
            if len(fields) < 8 or fields[3] not in _OPEN:
                continue
            if fields[1][-4:] in ours:
                intercepted.add(fields[2].removeprefix(_MAPPED))
            elif (name := owners.get(fields[2].removeprefix(_MAPPED))) is not None and int(fields[7]) != uid:
                found.append((fields[1].removeprefix(_MAPPED), name))
    for local, name in found:
        if local not in intercepted:
            counts[name] += 1
    return counts


def _written(host: str, port: int) -> bytes:
    """An address as the tables have it, `0100007F:1F90`: words of 32 bits in the machine's own order."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        packed = socket.inet_pton(family, host.partition("%")[0])
    except OSError:  # a name that is no address is in no table
        return b""
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return f"{''.join(f'{word:08X}' for word in words)}:{port:04X}".encode().removeprefix(_MAPPED)


def table_address(field: bytes) -> tuple[str, int]:
    """`0100007F:1F90` as ("127.0.0.1", 8080): words of 32 bits in the machine's own order."""
    host, _, port = field.partition(b":")
    words = struct.pack(f"={len(host) // 8}I", *(int(host[at : at + 8], 16) for at in range(0, len(host), 8)))
    family = socket.AF_INET if len(words) == 4 else socket.AF_INET6
    return canonical_host(socket.inet_ntop(family, words)), int(port, 16)


def _sampled(sockets: Sockets, interception_ports: Collection[int]) -> dict[str, int]:
    tables = []
    for file in TABLES:
        try:
            with file.open("rb") as stream:
                tables.append(stream.read(_MAX_BYTES))
        except OSError:  # no IPv6, or no /proc
            continue
    return bypassing(tables, sockets, interception_ports, os.geteuid(), _yield)


def _yield() -> None:
    """Let the other threads have the interpreter."""
    time.sleep(0)
