"""tenacity: exponential wait with full jitter, the choice its documentation gives for contended services."""

from dataclasses import dataclass

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from loadtest.clients.libraries import ATTEMPTS, RetriedError
from loadtest.clients.libraries.asking import ask_or_raise
from loadtest.storm.client import Client, Doors
from loadtest.storm.scenario import Scenario


@dataclass(frozen=True, slots=True)
class _Tenacity:
    doors: Doors
    per_try: float

    async def get_answer(self, number: int, destination: int, *, post: bool) -> int:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.1, max=1),
            retry=retry_if_exception_type((RetriedError, OSError)),
            reraise=True,
        )
        try:
            return await retrying(ask_or_raise, self.doors, number, destination, self.per_try, post=post)
        except RetriedError as error:
            return error.status


def coroutines(scenario: Scenario, _port: int, doors: Doors) -> Client:
    """See `Start`."""
    return _Tenacity(doors, scenario.per_try)
