"""Open-loop traffic: requests leave when the dice say so, however long earlier ones take.

Run as a process of its own (`python -m sidecar.demo.traffic`): starts at the line `start` on stdin, tells its counts
on stdout, and leaves when its time is over or stdin ends. The same seed gives the same instants, so both sides get the
same requests.
"""

import argparse
import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from sidecar.demo.child import commands, run
from sidecar.demo.connection import Caller
from sidecar.demo.counts import SLOT, Requests, Slots, tell
from sidecar.demo.naive import NaiveClient


class Client(Protocol):
    """The parameters of the traffic."""

    async def get(self, request_id: str, patience: float) -> int:
        """The final status, within `patience` seconds; raises OSError (TimeoutError is one) when there was none."""
        ...


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """The instants of a Poisson process of `rate` per second, from the start, for `seconds`."""
    dice = random.Random(seed)
    at = dice.expovariate(rate)
    while at < seconds:
        yield at
        at += dice.expovariate(rate)


class Traffic:
    """Sends requests and counts what they came to."""

    def __init__(self, client: Client, deadline: float) -> None:
        self.slots = Slots(Requests)
        self.in_flight = 0
        self.latest = 0.0
        self._client = client
        self._deadline = deadline
        self._zero = 0.0

    async def send(self, instants: Iterator[float]) -> None:
        """Send one request at each instant and return when all have ended."""
        loop = asyncio.get_running_loop()
        self._zero = loop.time()
        async with asyncio.TaskGroup() as exchanges:
            for number, at in enumerate(instants):
                ahead = self._zero + at - loop.time()
                if ahead > 0:
                    await asyncio.sleep(ahead)
                else:
                    self.latest = max(self.latest, -ahead)
                exchanges.create_task(self._exchange(at, f"{os.getpid()}-{number}"))

    async def _exchange(self, at: float, request_id: str) -> None:
        issued = self.slots.at(at)
        issued.issued += 1
        self.in_flight += 1
        try:
            status = await self._client.get(request_id, self._deadline)
        except OSError:
            status = 0
        self.in_flight -= 1
        ended = self.slots.at(asyncio.get_running_loop().time() - self._zero)
        if 200 <= status < 300:
            self.slots.at(at).succeeded += 1
            ended.ended_well += 1
        else:
            ended.ended_badly += 1


async def play(traffic: Traffic, instants: Iterator[float]) -> None:
    """Wait for `start`, send everything, tell the counts, and stop early when stdin ends."""
    tell("ready")
    lines = commands()
    if await anext(lines, "") != "start":
        return
    sending = asyncio.create_task(traffic.send(instants))
    leaving = asyncio.create_task(_read_to_end(lines))
    while not sending.done() and not leaving.done():
        await asyncio.wait({sending, leaving}, timeout=SLOT, return_when=asyncio.FIRST_COMPLETED)
        tell("counts", slots=traffic.slots.changes(), in_flight=traffic.in_flight, late=traffic.latest)
    if sending.done():
        sending.result()
        tell("done")
    sending.cancel()
    leaving.cancel()


async def _read_to_end(lines: AsyncIterator[str]) -> None:
    async for _ in lines:
        pass


def main() -> None:
    """Entry point of the child process."""
    arguments = argparse.ArgumentParser(prog="sidecar.demo.traffic", description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--seed", type=int, required=True)
    arguments.add_argument("--rate", type=float, required=True, help="requests per second")
    arguments.add_argument("--seconds", type=float, default=float("inf"), help="how long; without end if not given")
    arguments.add_argument("--deadline", type=float, required=True, help="seconds a request may take")
    arguments.add_argument("--retries", type=int, help="retry naively, so many times")
    arguments.add_argument("--backoff", type=float, help="seconds between naive tries")
    arguments.add_argument("--per-try", type=float, help="seconds a naive try may take")
    given = arguments.parse_args()
    caller = Caller(given.port, "/balance")
    client: Client = caller
    if given.retries is not None:
        client = NaiveClient(caller, given.retries, given.backoff, given.per_try)
    instants = arrivals(given.rate, given.seconds, given.seed)
    sys.exit(run(play(Traffic(client, given.deadline), instants)))


if __name__ == "__main__":
    main()
