"""Connections of the service to governed addresses that do not go through this sidecar.

All containers of a pod share one network namespace, and /proc/net/tcp lists every socket in it with its owner's uid: no
process has to be looked into, and the process namespace need not be shared. Sampled, in a thread, off the path of
requests: a connection that is shorter than the time between two samples may not be seen.
"""

import asyncio
import os
import socket
import struct
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
    tables: Collection[bytes], sockets: Sockets, interception_ports: Collection[int], uid: int
) -> dict[str, int]:
    """Open connections past the sidecar in `tables`, texts of /proc/net/tcp and tcp6, by destination.

    `uid` is the sidecar's own: its sockets are what governance looks like. A connection that was redirected to one of
    `interception_ports` still shows where it was going, and is told by its other end, which is here.
    """
    owners = {address: name for name, addresses in sockets.items() for address in addresses}
    counts = dict.fromkeys(sockets, 0)
    found: list[tuple[tuple[str, int], str]] = []
    intercepted: set[tuple[str, int]] = set()
    wanted = {f"{port:04X}".encode() for _, port in owners}
    ours = {f"{port:04X}".encode() for port in interception_ports}
    for table in tables:
        for line in table.splitlines()[1:]:
            fields = line.split(None, 8)
            if len(fields) < 8 or fields[3] not in _OPEN:
                continue
            if fields[1][-4:] in ours:
                intercepted.add(table_address(fields[2]))
            elif fields[2][-4:] in wanted and int(fields[7]) != uid:
                name = owners.get(table_address(fields[2]))
                if name is not None:
                    found.append((table_address(fields[1]), name))
    for local, name in found:
        if local not in intercepted:
            counts[name] += 1
    return counts


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
    return bypassing(tables, sockets, interception_ports, os.geteuid())
