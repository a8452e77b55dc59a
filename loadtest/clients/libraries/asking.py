"""One attempt as a coroutine that raises what a retry library is to retry."""

import asyncio

from loadtest.clients.libraries import RETRIED_STATUSES, RetriedError
from loadtest.storm.client import Doors


async def ask_or_raise(doors: Doors, number: int, destination: int, per_try: float, *, post: bool) -> int:
    """The status of one attempt. Raises RetriedError for those that are tried again, OSError without an answer."""
    async with asyncio.timeout(per_try):
        status = (await doors.ask(number, destination, post=post)).status
    if status in RETRIED_STATUSES:
        raise RetriedError(status)
    return status
