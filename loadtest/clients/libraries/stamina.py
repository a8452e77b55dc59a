"""stamina: its own waits (0.1 s, doubled, with jitter), and as many attempts as the others have."""

from dataclasses import dataclass

import stamina

from loadtest.clients.libraries import ATTEMPTS, RetriedError
from loadtest.clients.libraries.asking import ask_or_raise
from loadtest.storm.client import Client, Doors
from loadtest.storm.scenario import Scenario


@dataclass(frozen=True, slots=True)
class _Stamina:
    doors: Doors
    per_try: float
    caller: stamina.AsyncRetryingCaller

    async def get_answer(self, number: int, destination: int, *, post: bool) -> int:
        try:
            return await self.caller(
                (RetriedError, OSError), ask_or_raise, self.doors, number, destination, self.per_try, post=post
            )
        except RetriedError as error:
            return error.status


def coroutines(scenario: Scenario, _port: int, doors: Doors) -> Client:
    """See `Start`."""
    stamina.instrumentation.set_on_retry_hooks([])  # it would log each retry
    return _Stamina(doors, scenario.per_try, stamina.AsyncRetryingCaller(attempts=ATTEMPTS))
