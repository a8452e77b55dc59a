"""The dependency: a small HTTP server of finite capacity that follows a script of troubles.

Run as a process of its own (`python -m sidecar.demo.dependency`): it tells its port and its counts on stdout, starts
the script at the line `start` on stdin and leaves when stdin ends. `GET /-/state` shows it,
`POST /-/phase/failing?seconds=4` (or `hanging`) makes trouble by hand.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httptools

from sidecar.demo.child import commands, run
from sidecar.demo.counts import SLOT, Arrivals, Slots, tell
from sidecar.demo.script import FAST, FULL, Script, ScriptPhase
from sidecar.demo.workforce import Workforce

MAX_TROUBLE_SECONDS = 60.0
REMEMBERED = 50_000
"""Request ids; far more than can be on their way."""


def response(status: int, reason: str, body: bytes) -> bytes:
    """A whole response, ready to write."""
    head = f"HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


OK = response(200, "OK", b'{"balance":"10.00"}\n')
UNAVAILABLE = response(503, "Service Unavailable", b'{"error":"unavailable"}\n')
OVERFLOW = response(503, "Service Unavailable", b'{"error":"queue full"}\n')


class Dependency:
    """Phase, workforce and counts; connections hand their requests in."""

    def __init__(self, script: Script, seed: int, clock: Callable[[], float]) -> None:
        self.phase = ScriptPhase.HEALTHY
        self.slots = Slots(Arrivals)
        self.totals = Arrivals()
        self._script = script
        self._clock = clock
        self._zero: float | None = None
        self._met: OrderedDict[bytes, None] = OrderedDict()
        dice = random.Random(seed)
        half, whole = script.service_seconds / 2, script.service_seconds
        self.workforce: Workforce[Connection] = Workforce(
            script.workers, script.backlog, lambda _: half + whole * dice.random(), clock()
        )
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._trouble: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin the script now."""
        loop = asyncio.get_running_loop()
        self._zero = self._clock()
        for scene, begin in zip(self._script.scenes, self._script.begins(), strict=True):
            loop.call_at(self._zero + begin, self.enter, scene.phase)

    def since_start(self) -> float:
        """Seconds since the script began; negative before."""
        return -1.0 if self._zero is None else self._clock() - self._zero

    def enter(self, phase: ScriptPhase) -> None:
        """Change the phase now."""
        now = self._clock()
        self._collect(now)
        self.phase = phase
        self.workforce.pace(0.0 if phase is ScriptPhase.HANGING else 1.0)
        self._arm()

    def make_trouble(self, phase: ScriptPhase, seconds: float) -> None:
        """Enter `phase` now and be healthy again after `seconds`."""
        if self._trouble is not None:
            self._trouble.cancel()
        self.enter(phase)
        self._trouble = asyncio.get_running_loop().call_later(seconds, self.enter, ScriptPhase.HEALTHY)

    def request(self, connection: "Connection", request_id: bytes) -> None:
        """A request has been read: answer it, now or when a worker has done it. Without an id it is a new one."""
        row = self.slots.at(self.since_start())
        row.arrived += 1
        self.totals.arrived += 1
        if self._met_before(request_id):
            row.repeated += 1
            self.totals.repeated += 1
        if self.phase is ScriptPhase.FAILING:
            row.failed += 1
            self.totals.failed += 1
            connection.answer(UNAVAILABLE)
            return
        self._collect(self._clock())
        if self.workforce.accept(connection):
            self._arm()
        else:
            row.overflowed += 1
            self.totals.overflowed += 1
            connection.answer(OVERFLOW)

    def state(self) -> dict[str, object]:
        """The body of `GET /-/state`: counts since the process started."""
        return {
            "phase": self.phase.value,
            "capacity_per_second": self._script.capacity,
            "waiting": self.workforce.waiting,
            "running": self.workforce.running,
            "arrived": self.totals.arrived,
            "repeated": self.totals.repeated,
            "served": self.totals.served,
            "wasted": self.totals.wasted,
            "failed": self.totals.failed,
            "overflowed": self.totals.overflowed,
        }

    def _met_before(self, request_id: bytes) -> bool:
        if not request_id:
            return False
        if request_id in self._met:
            return True
        self._met[request_id] = None
        if len(self._met) > REMEMBERED:
            self._met.popitem(last=False)
        return False

    def _arm(self) -> None:
        at = self.workforce.next_finish()
        if self._alarm is not None:
            if at is not None and self._alarm_at <= at:
                return
            self._alarm.cancel()
            self._alarm = None
        if at is not None:
            self._alarm_at = at
            self._alarm = asyncio.get_running_loop().call_at(at, self._work_done)

    def _work_done(self) -> None:
        self._alarm = None
        self._collect(self._clock())
        self._arm()

    def _collect(self, now: float) -> None:
        done = self.workforce.advance(now)
        if not done:
            return
        row = self.slots.at(self.since_start())
        for connection in done:
            if connection.gone:
                row.wasted += 1
                self.totals.wasted += 1
            else:
                row.served += 1
                self.totals.served += 1
                connection.answer(OK)


class Connection(asyncio.Protocol):
    """One caller's connection; one request at a time, as neither the sidecar nor the demo's clients pipeline."""

    def __init__(self, dependency: Dependency) -> None:
        self.gone = False
        self._dependency = dependency
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._target = b""
        self._id = b""
        self._read: list[tuple[str, bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is a Transport

    def data_received(self, data: bytes) -> None:
        """Feed the parser; nonsense ends the connection."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._close()
        # not in the parser's callback, which would take any error of ours for one of the caller's
        while self._read and not self.gone:
            target, request_id = self._read.pop(0)
            if target.startswith("/-/"):
                self.answer(self._govern(target))
            else:
                self._dependency.request(self, request_id)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone; work begun for it goes on."""
        self.gone = True

    def on_url(self, url: bytes) -> None:
        """Parser callback."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser callback."""
        if name.lower() == b"x-request-id":
            self._id = value

    def on_message_complete(self) -> None:
        """Parser callback: the request is whole."""
        self._read.append((self._target.decode("ascii", "replace"), self._id))
        self._target = self._id = b""

    def answer(self, data: bytes) -> None:
        """Send a response, if the connection is still open."""
        if self._transport is not None and not self.gone:
            self._transport.write(data)

    def _close(self) -> None:
        self.gone = True
        if self._transport is not None:
            self._transport.close()

    def _govern(self, target: str) -> bytes:
        url = urlsplit(target)
        method = self._parser.get_method()
        if url.path == "/-/state" and method == b"GET":
            return response(200, "OK", json.dumps(self._dependency.state()).encode() + b"\n")
        phases = {f"/-/phase/{phase.value}": phase for phase in ScriptPhase}
        if url.path not in phases or method != b"POST":
            return response(404, "Not Found", b'{"error":"GET /-/state or POST /-/phase/failing?seconds=4"}\n')
        try:
            seconds = float(parse_qs(url.query).get("seconds", ["4"])[0])
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= MAX_TROUBLE_SECONDS:
            return response(400, "Bad Request", b'{"error":"seconds: must be over 0 and at most 60"}\n')
        self._dependency.make_trouble(phases[url.path], seconds)
        return response(200, "OK", json.dumps(self._dependency.state()).encode() + b"\n")


async def serve(script: Script, seed: int) -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    dependency = Dependency(script, seed, loop.time)
    server = await loop.create_server(lambda: Connection(dependency), "127.0.0.1", 0, backlog=1024)
    tell("ready", port=server.sockets[0].getsockname()[1])
    told = asyncio.create_task(_tell_counts(dependency))
    async for line in commands():
        if line == "start":
            dependency.start()
    told.cancel()
    server.close()


async def _tell_counts(dependency: Dependency) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due += SLOT
        await asyncio.sleep(max(0.0, due - loop.time()))
        tell(
            "counts",
            slots=dependency.slots.changes(),
            phase=dependency.phase.value,
            waiting=dependency.workforce.waiting,
            running=dependency.workforce.running,
            late=max(0.0, loop.time() - due),
        )


def main() -> None:
    """Entry point of the child process."""
    arguments = argparse.ArgumentParser(prog="sidecar.demo.dependency", description=__doc__)
    arguments.add_argument("--seed", type=int, required=True)
    arguments.add_argument("--fast", action="store_true")
    given = arguments.parse_args()
    sys.exit(run(serve(FAST if given.fast else FULL, given.seed)))


if __name__ == "__main__":
    main()
