"""Blocking calls for open-loop traffic: a thread for each, as a threaded service has them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

THREADS = 1024
"""Enough for all that wait at once in a hang: 80 requests a second that block for a few seconds each."""


@dataclass(frozen=True, slots=True)
class Threaded:
    """Runs `ask(number, post)`. A caller that gives up frees no thread: what blocks goes on to its own end."""

    ask: Callable[[int, bool], int]
    pool: ThreadPoolExecutor

    async def get_answer(self, number: int, _destination: int, *, post: bool) -> int:
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.ask, number, post)


def threaded(ask: Callable[[int, bool], int]) -> Threaded:
    """A client that calls `ask` in threads. `ask` raises OSError without an answer."""
    return Threaded(ask, ThreadPoolExecutor(THREADS))
