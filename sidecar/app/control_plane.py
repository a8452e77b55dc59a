"""The admin plane beside the data plane: its ports are bound first, what serves them is imported once requests are.

aiohttp and prometheus_client take a third of the start (0.15 s of 0.40 s), and no request needs them. Until they are
there, probes and scrapers wait in the kernel's queue.
"""

import asyncio
import importlib
import socket
from collections.abc import Callable
from typing import Final, Protocol

from sidecar.admin.state import AdminState
from sidecar.admin.token import AdminToken
from sidecar.app.listening_sockets import ListeningSockets
from sidecar.governance.loading.updater import Tell
from sidecar.governance.policy.snapshot import Snapshot
from sidecar.net import Address
from sidecar.proxy.listener import PortTaken

_SERVER: Final = "sidecar.admin.server"


class _Server(Protocol):
    """The part of `admin.server.AdminServer` that is used here."""

    async def start(self, sock: socket.socket, *, probes_only: bool = False) -> Address:
        """Serve a listening socket."""

    async def stop(self) -> None:
        """Close every listener."""


class ControlPlane:
    """The listeners of one AdminState: everything on the first, and on request probes and metrics on a second."""

    def __init__(self, state: AdminState, token: AdminToken, clock: Callable[[], float], tell: Tell) -> None:
        """`clock` gives the engine's time, in seconds."""
        self._state = state
        self._token = token
        self._clock = clock
        self._tell = tell
        self.sockets: dict[str, socket.socket] = {}
        """Its listening sockets, by the names that `ListeningSockets.bind` takes."""
        self._server: _Server | None = None

    def bind(self, snapshot: Snapshot, sockets: ListeningSockets) -> list[Address]:
        """Bind the ports, not yet served; where they are really, admin's first.

        Raises OSError, its message naming the address that can not be had, or the token that can not be used.
        """
        wanted = {"admin.listen": snapshot.admin, "admin.metrics_listen": snapshot.metrics_listen}
        for field, address in wanted.items():
            if address is None:
                continue
            try:
                self.sockets[f"{field} {address}"] = sockets.bind(address, field, both_families=field != "admin.listen")
            except PortTaken as error:
                hint = "another sidecar may have it; --admin ADDRESS or admin.listen names another one"
                told = f"{error.strerror}" if field != "admin.listen" else f"{error.strerror} ({hint})"
                raise PortTaken(error.errno, f"{field}: {told}") from error
        addresses = [_address(sock) for sock in self.sockets.values()]
        self._token.prepare(addresses[0].port)
        return addresses

    async def open(self) -> None:
        """Serve them."""
        module = await asyncio.to_thread(importlib.import_module, _SERVER)
        self._server = module.AdminServer(self._state, self._clock, self._token, self._tell)
        assert self._server is not None
        for place, sock in enumerate(self.sockets.values()):
            await self._server.start(sock, probes_only=place > 0)

    async def stop(self) -> None:
        """Free the ports."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
        for sock in self.sockets.values():
            sock.close()
        self.sockets.clear()

    async def close(self) -> None:
        """Free the ports, and take away the token that was made."""
        await self.stop()
        self._token.remove()


def _address(sock: socket.socket) -> Address:
    name = sock.getsockname()
    return Address(name[0], name[1])
