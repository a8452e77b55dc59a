"""Open-loop traffic: requests leave when the dice say so, however long earlier ones take."""

import asyncio
import random
from time import monotonic

from loadtest.storm.client import Client
from loadtest.storm.scenario import Scenario
from loadtest.storm.witness import Request


def requests(scenario: Scenario, seed: int) -> list[Request]:
    """Every request of a run: a Poisson process from 0 to the scenario's end. The same seed gives the same ones."""
    dice = random.Random(seed)
    made = []
    at = dice.expovariate(scenario.rate)
    while at < scenario.seconds:
        made.append(Request(len(made), dice.randrange(scenario.destinations), dice.random() < scenario.posts, began=at))
        at += dice.expovariate(scenario.rate)
    return made


class Traffic:
    """Sends them, each with its deadline, and writes down in them what they came to."""

    def __init__(self, client: Client, deadline: float) -> None:
        self.latest = 0.0
        """Seconds by which the worst of them left too late: more than a little means that the machine was too busy."""
        self._client = client
        self._deadline = deadline

    async def send(self, planned: list[Request], zero: float) -> None:
        """Send each at its instant after `zero` of the monotonic clock; returns when all have ended."""
        async with asyncio.TaskGroup() as exchanges:
            for request in planned:
                ahead = zero + request.began - monotonic()
                if ahead > 0:
                    await asyncio.sleep(ahead)
                else:
                    self.latest = max(self.latest, -ahead)
                exchanges.create_task(self._exchange(request, zero))

    async def _exchange(self, request: Request, zero: float) -> None:
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + self._deadline):
                request.status = await self._client.get_answer(request.number, request.destination, post=request.post)
        except OSError:
            request.status = 0
        request.ended = monotonic() - zero
