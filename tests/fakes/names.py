"""An event loop that looks names up in a table of the test's, and does everything else as it does."""

import asyncio
import socket
from typing import Any

Address = tuple[str, int]


class NamingLoop:
    """`table` has the addresses of each name, IPv6 ones with a colon; a name that is not in it is not found."""

    def __init__(self, table: dict[str, list[Address]]) -> None:
        self.table = table
        self.asked = 0
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        self.asked += 1
        if host not in self.table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (ip, at or port, 0, 0))
            if ":" in ip
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, at or port))
            for ip, at in self.table[host]
        ]


class BlackHole:
    """A port whose handshakes nobody answers: its queue of connections is full, and the kernel drops what comes."""

    def __init__(self, host: str, port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.socket(family, socket.SOCK_STREAM)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind((host, port))
        self._listening.listen(0)
        self.port: int = self._listening.getsockname()[1]
        self._fillers: list[socket.socket] = []
        for _ in range(3):
            filler = socket.socket(family, socket.SOCK_STREAM)
            filler.setblocking(False)
            filler.connect_ex((host, self.port))
            self._fillers.append(filler)

    def close(self) -> None:
        for sock in (*self._fillers, self._listening):
            sock.close()
