"""Waiting in tests: for a condition, with a deadline that only a hang reaches. Outside acceptance/ nothing else sleeps.

`test_layout.py` holds every other file to it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

WITHIN: Final = 60.0
"""Seconds. A machine of CI is slow and shared; a test that passes never waits so long."""
_PAUSE: Final = 0.005


async def turn(times: int = 1) -> None:
    """Let the event loop call what is due, `times` over."""
    for _ in range(times):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], within: float = WITHIN) -> None:
    """Wait until `condition` holds. Raises AssertionError after `within` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not condition():
        assert loop.time() < deadline, f"not so within {within:g} s: {condition}"
        await asyncio.sleep(_PAUSE)


async def until_told(condition: Callable[[], Awaitable[object]], within: float = WITHIN) -> None:
    """Wait until an answer that has to be awaited is true. Raises AssertionError after `within` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not await condition():
        assert loop.time() < deadline, f"not so within {within:g} s: {condition}"
        await asyncio.sleep(_PAUSE)


def wait_until(
    condition: Callable[[], object], within: float = WITHIN, pause: Callable[[float], object] = time.sleep
) -> None:
    """`until`, for what another thread or process does. `pause` takes the seconds between two looks."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within:g} s: {condition}"
        pause(_PAUSE)


async def pace(seconds: float) -> None:
    """The slowness of a fake server or caller: it takes so long, and no test concludes anything from how long."""
    await asyncio.sleep(seconds)
