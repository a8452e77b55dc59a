"""Names to addresses: looked up off the request's path, and again when they have grown old."""

import asyncio
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Final

from aiohappyeyeballs import AddrInfoType

LIFETIME: Final = 30.0
"""Seconds an answer is good for; an older one still serves while the next look-up is under way."""


class Resolver:
    """Addresses of one host and port, remembered."""

    __slots__ = ("_addresses", "_clock", "_host", "_lookup", "_loop", "_port", "_until")

    def __init__(self, loop: AbstractEventLoop, host: str, port: int, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._host = host
        self._port = port
        self._clock = clock
        self._addresses: list[AddrInfoType] = []
        self._until = 0.0
        self._lookup: asyncio.Task[None] | None = None

    async def addresses(self) -> list[AddrInfoType]:
        """The addresses to try, in order. Raises OSError when the name has never been found."""
        if self._clock() >= self._until and self._lookup is None:
            self._lookup = self._loop.create_task(self._look_up())
        if not self._addresses and self._lookup is not None:
            await asyncio.shield(self._lookup)
        return self._addresses

    async def _look_up(self) -> None:
        try:
            self._addresses = [
                (family, kind, protocol, name, address)
                for family, kind, protocol, name, address in await self._loop.getaddrinfo(
                    self._host, self._port, type=socket.SOCK_STREAM
                )
                if family in (socket.AF_INET, socket.AF_INET6)
            ]
            self._until = self._clock() + LIFETIME
        except OSError:
            if not self._addresses:
                raise
            self._until = self._clock() + 1.0  # the old answer is better than none; ask again soon
        finally:
            self._lookup = None
