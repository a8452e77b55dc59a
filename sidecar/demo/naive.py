"""Retries as people write them: a fixed number of tries, a short pause, a timeout per try. Nothing limits their sum."""

import asyncio

from sidecar.demo.connection import Caller


class NaiveClient:
    """Tries up to `1 + retries` times, `backoff` seconds apart, each try for at most `per_try` seconds."""

    def __init__(self, caller: Caller, retries: int, backoff: float, per_try: float) -> None:
        self._caller = caller
        self._retries = retries
        self._backoff = backoff
        self._per_try = per_try

    async def get(self, request_id: str, patience: float) -> int:
        """The status of the last try. Raises TimeoutError when `patience` seconds pass or the last try times out."""
        async with asyncio.timeout(patience):
            for left in range(self._retries, -1, -1):
                try:
                    status = await self._caller.get(request_id, self._per_try)
                except OSError:  # TimeoutError is one
                    if not left:
                        raise
                else:
                    if status < 500 or not left:
                        return status
                await asyncio.sleep(self._backoff)
        raise AssertionError("the last try returns or raises")
