"""Names to addresses: looked up off the request's path, and again when they have grown old."""

import asyncio
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from typing import Final

from aiohappyeyeballs import AddrInfoType

LIFETIME: Final = 30.0
"""Seconds an answer is good for; an older one still serves while the next look-up is under way."""
AGAIN: Final = 1.0
"""Seconds until a look-up that failed is tried again; a name never found is not found until then."""
MAX_ADDRESSES: Final = 256
MAX_UNLISTED_LOOKUPS: Final = 64
"""Names that only a request has named, looked up at once."""


def _lifetime() -> float:
    return LIFETIME


def _ignore() -> None:
    """The default for callers that do not wait."""


class DnsLookupLimit:
    """The bound on simultaneous look-ups of names that are not configured.

    Where no name server answers, each takes as long as the system's patience, while its caller has gone after a second.
    """

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places = MAX_UNLISTED_LOOKUPS


class Resolver:
    """Addresses of one host and port, remembered. A look-up that fails leaves the last good answer in use."""

    __slots__ = (
        "_addresses",
        "_clock",
        "_dns_lookup_limit",
        "_done",
        "_error",
        "_host",
        "_lifetime",
        "_lookup",
        "_loop",
        "_port",
        "until",
    )

    def __init__(
        self,
        loop: AbstractEventLoop,
        host: str,
        port: int,
        clock: Callable[[], float],
        lifetime: Callable[[], float] = _lifetime,
        done: Callable[[], None] = _ignore,
        dns_lookup_limit: DnsLookupLimit | None = None,
    ) -> None:
        """`lifetime` is asked at each look-up for its seconds; `done` is called after each, whatever it came to.

        `dns_lookup_limit` bounds the look-ups of names that are not configured; None for one of the documents.
        """
        self._loop = loop
        self._host = host
        self._port = port
        self._clock = clock
        self._lifetime = lifetime
        self._done = done
        self._dns_lookup_limit = dns_lookup_limit
        self._addresses: list[AddrInfoType] = []
        self._error: Exception | None = None
        self._lookup: asyncio.Task[None] | None = None
        self.until = 0.0
        """Monotonic seconds; from then on the answer is old."""

    @property
    def known(self) -> list[AddrInfoType]:
        """The last good answer; empty before there is one."""
        return self._addresses

    def refresh(self) -> None:
        """Look the name up if the answer is old. Does not wait."""
        if self._lookup is None and self._clock() >= self.until:
            self._lookup = self._loop.create_task(self._look_up())

    async def addresses(self) -> list[AddrInfoType]:
        """The addresses to try, in order. Raises OSError when the name has never been found."""
        self.refresh()
        if not self._addresses:
            if self._lookup is not None:
                await asyncio.shield(self._lookup)
            if not self._addresses:
                raise OSError(f"{self._host} can not be resolved: {self._error}") from self._error
        return self._addresses

    async def _look_up(self) -> None:
        try:
            answer = await self._ask()
            addresses: list[AddrInfoType] = [
                (family, kind, protocol, name, address)
                for family, kind, protocol, name, address in answer
                if family in (socket.AF_INET, socket.AF_INET6)
            ]
            if not addresses:
                raise OSError("the name has no address")
            self._addresses = addresses[:MAX_ADDRESSES]
            self._error = None
            self.until = self._clock() + self._lifetime()
        except (OSError, UnicodeError) as error:  # the latter for labels that no name may have
            self._error = error
            self.until = self._clock() + AGAIN  # the old answer is better than none
        finally:
            self._lookup = None
        self._done()

    async def _ask(self) -> Sequence[AddrInfoType]:
        dns_lookup_limit = self._dns_lookup_limit
        if dns_lookup_limit is None:
            return await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        if not dns_lookup_limit.places:
            raise OSError("too many names are being looked up")
        dns_lookup_limit.places -= 1
        try:
            return await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        finally:
            dns_lookup_limit.places += 1
