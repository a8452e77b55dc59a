"""Names to addresses."""

import asyncio
import socket
from typing import Any

import pytest

from sidecar.proxy.resolver import LIFETIME, Resolver


class Names:
    """An event loop's look-ups, scripted."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    def create_task(self, coroutine: Any) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(coroutine)

    async def getaddrinfo(self, host: str, port: int, *, type: int) -> list[tuple[Any, ...]]:  # noqa: A002
        self.asked += 1
        if self.fails:
            raise socket.gaierror("no such name")
        return [(socket.AF_INET, type, 6, "", (f"10.0.0.{self.asked}", port))]


async def test_an_answer_is_kept_for_its_lifetime_and_serves_while_it_is_renewed() -> None:
    now = 0.0
    names = Names()
    resolver = Resolver(names, "payments", 80, lambda: now)  # type: ignore[arg-type]

    first = await resolver.addresses()
    again = await resolver.addresses()
    now = LIFETIME
    stale = await resolver.addresses()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    renewed = await resolver.addresses()

    assert first == again == stale
    assert renewed[0][4] == ("10.0.0.2", 80)


async def test_a_name_that_was_never_found_is_an_error_and_a_known_one_stays() -> None:
    now = 0.0
    names = Names()
    names.fails = True
    with pytest.raises(OSError, match="no such name"):
        await Resolver(names, "payments", 80, lambda: now).addresses()  # type: ignore[arg-type]
    names.fails = False
    resolver = Resolver(names, "payments", 80, lambda: now)  # type: ignore[arg-type]
    known = await resolver.addresses()
    names.fails = True
    now = LIFETIME

    await resolver.addresses()
    await asyncio.sleep(0)

    assert await resolver.addresses() == known
