"""One process of the fleet: its share of the traffic, through one library.

Run as `python -m loadtest.clients.worker LIBRARY SCENARIO SEED FACTOR SHARE SHARES PORT`: prints the port of its
control on one line. `/begin?zero=T` there begins the traffic at T of the system's monotonic clock, `/report` is what
came of it so far.
"""

import asyncio
import gc
import sys
from time import process_time

import uvloop

from loadtest.clients.libraries import LIBRARIES
from loadtest.storm.client import Doors
from loadtest.storm.dependency import HOST, Control
from loadtest.storm.scenario import scenarios
from loadtest.storm.traffic import Traffic, requests
from loadtest.storm.witness import Request


class Worker:
    """Sends its requests, and reports them."""

    def __init__(self, traffic: Traffic, planned: list[Request]) -> None:
        self._traffic = traffic
        self._planned = planned
        self._sending: asyncio.Task[None] | None = None
        self._cpu = 0.0

    def begin(self, zero: float) -> None:
        """Begin to send at `zero`."""
        self._cpu = process_time()
        self._sending = asyncio.get_running_loop().create_task(self._traffic.send(self._planned, zero))

    def report(self) -> dict[str, object]:
        """`ended`: all have; `late`: see Traffic; `requests`: the number, end and status of each.

        `cpu`: processor seconds since `begin`.
        """
        return {
            "cpu": process_time() - self._cpu,
            "ended": self._sending is not None and self._sending.done(),
            "late": self._traffic.latest,
            "requests": [[request.number, request.ended, request.status] for request in self._planned],
        }


async def serve(library: str, name: str, seed: int, factor: float, share: int, shares: int, port: int) -> None:
    scenario = scenarios()[name].scaled(factor)
    client = LIBRARIES[library].start()(scenario, port, Doors([[port]], seed))
    planned = [request for request in requests(scenario, seed) if request.number % shares == share]
    worker = Worker(Traffic(client, scenario.deadline), planned)
    server = await asyncio.get_running_loop().create_server(lambda: Control(worker), HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    _, chosen, storm, *numbers = sys.argv
    given_seed, given_factor, given_share, given_shares, given_port = numbers
    uvloop.run(
        serve(chosen, storm, int(given_seed), float(given_factor), int(given_share), int(given_shares), int(given_port))
    )
