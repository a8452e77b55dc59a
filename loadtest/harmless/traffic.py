"""All requests of a situation through one subject: those that are planned, and those of callers in a closed loop."""

import asyncio
from time import monotonic

from loadtest.harmless.caller import Callers
from loadtest.harmless.plan import Request, asked_by, planned
from loadtest.harmless.situation import Situation

SPREAD = 0.02
"""Seconds in which the callers of a closed loop begin, one after the other."""
PAUSE = 0.25
"""Seconds until a caller of a closed loop asks again who was not answered: nobody is hammered."""


class Traffic:
    """Sends them, and keeps what they came to."""

    def __init__(self, situation: Situation, callers: Callers, seed: int) -> None:
        self.requests: list[Request] = planned(situation, seed)
        self.latest = 0.0
        """Seconds by which the worst of them left too late: more than a little means that the machine was too busy."""
        self._situation = situation
        self._callers = callers
        self._seed = seed

    async def run(self, zero: float) -> None:
        """Send each at its instant after `zero` of the monotonic clock; returns when all have ended."""
        open_loop = self.requests.copy()
        async with asyncio.TaskGroup() as tasks:
            for kind, call in enumerate(self._situation.calls):
                for caller in range(call.callers):
                    tasks.create_task(self._loop(kind, caller, call.begins + SPREAD * caller / call.callers, zero))
            for request in open_loop:
                ahead = zero + request.at - monotonic()
                if ahead > 0:
                    await asyncio.sleep(ahead)
                else:
                    self.latest = max(self.latest, -ahead)
                tasks.create_task(self._callers.ask(request, zero))

    async def _loop(self, kind: int, caller: int, begins: float, zero: float) -> None:
        await asyncio.sleep(max(0.0, zero + begins - monotonic()))
        for request in asked_by(self._situation, kind, caller, self._seed):
            request.at = monotonic() - zero
            if request.at >= self._situation.seconds:
                return
            self.requests.append(request)
            await self._callers.ask(request, zero)
            if not request.good:
                await asyncio.sleep(PAUSE)
