"""The client that pays orders and tries again: what it sends, when, and what it was told.

Run as a process of its own (`python -m sidecar.demo.charges.payer`): starts at the line `start` on stdin, tells its
counts on stdout, and leaves when every order has ended or stdin ends. The same seed gives the same orders at the same
instants, so both sides pay the same. With `--key` each order's request carries a key, the same on every try.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass

from sidecar.demo.charges.play import FULL_CHARGES, ChargePlay
from sidecar.demo.charges.service import PAYMENTS
from sidecar.demo.child import commands, run
from sidecar.demo.counts import SLOT, tell
from sidecar.demo.traffic import arrivals

Ask = Callable[[str], Awaitable[int]]
"""One try to pay an order: the status. Raises OSError (TimeoutError is one) when there was no answer."""


@dataclass(slots=True)
class PayerCounts:
    """Counts since the start."""

    orders: int = 0
    tries: int = 0
    paid: int = 0  # orders that a 2xx was heard of
    given_up: int = 0  # orders that none was heard of in all tries


class Payer:
    """Pays orders: each is tried until it is answered for good, at most `play.tries` times."""

    def __init__(self, play: ChargePlay, ask: Ask) -> None:
        self.counts = PayerCounts()
        self._play = play
        self._ask = ask

    async def send(self, instants: Iterator[float], first: int = 0) -> None:
        """Begin one order at each instant (seconds from now) and return when all have ended."""
        loop = asyncio.get_running_loop()
        zero = loop.time()
        async with asyncio.TaskGroup() as orders:
            for number, at in enumerate(instants, first):
                await asyncio.sleep(max(0.0, zero + at - loop.time()))
                orders.create_task(self.pay(f"order-{number}"))

    async def pay(self, order: str) -> None:
        """Pay one order. No answer, a 5xx and 409 (a key whose first request is not over) are tried again."""
        counts = self.counts
        counts.orders += 1
        for number in range(1, self._play.tries + 1):
            counts.tries += 1
            try:
                async with asyncio.timeout(self._play.patience):
                    status = await self._ask(order)
            except OSError:
                status = 0
            if 200 <= status < 300:
                counts.paid += 1
                return
            if 400 <= status < 500 and status != 409:
                break
            if number < self._play.tries:
                await asyncio.sleep(number * self._play.backoff)
        counts.given_up += 1


def asking(port: int, *, keyed: bool) -> Ask:
    """Tries that POST to 127.0.0.1:`port`, each on a connection of its own."""

    async def ask(order: str) -> int:
        body = json.dumps({"order": order, "amount": 1200, "currency": "EUR"})
        key = f"Idempotency-Key: {order}\r\n" if keyed else ""
        head = (
            f"POST {PAYMENTS} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{key}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write((head + body).encode())
            answer = await reader.read(-1)
        finally:
            writer.close()
        fields = answer.split(b" ", 2)
        if len(fields) < 2 or not fields[1].isdigit():
            raise ConnectionResetError("the connection was closed before a response")
        return int(fields[1])

    return ask


async def play(payer: Payer, instants: Iterator[float], first: int) -> None:
    """Wait for `start`, pay everything, tell the counts, and stop early when stdin ends."""
    tell("ready")
    lines = commands()
    if await anext(lines, "") != "start":
        return
    paying = asyncio.create_task(payer.send(instants, first))
    leaving = asyncio.create_task(_read_to_end(lines))
    while not paying.done() and not leaving.done():
        await asyncio.wait({paying, leaving}, timeout=SLOT, return_when=asyncio.FIRST_COMPLETED)
        tell("counts", **asdict(payer.counts))
    if paying.done():
        paying.result()
        tell("done")
    paying.cancel()
    leaving.cancel()


async def _read_to_end(lines: AsyncIterator[str]) -> None:
    async for _ in lines:
        pass


def main() -> None:
    """Entry point of the child process."""
    arguments = argparse.ArgumentParser(prog="sidecar.demo.charges.payer", description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--seed", type=int, required=True)
    arguments.add_argument("--rate", type=float, required=True, help="orders per second")
    arguments.add_argument("--seconds", type=float, default=float("inf"), help="how long; without end if not given")
    arguments.add_argument("--first", type=int, default=1, help="the number of the first order")
    arguments.add_argument("--key", action="store_true", help="send a key with each order")
    given = arguments.parse_args()
    payer = Payer(FULL_CHARGES, asking(given.port, keyed=given.key))
    sys.exit(run(play(payer, arrivals(given.rate, given.seconds, given.seed), given.first)))


if __name__ == "__main__":
    main()
