"""The demo from start to end: set the stage, play the script on both sides, watch, and give the account."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from sidecar.demo import settings
from sidecar.demo.account import Account
from sidecar.demo.figures import figures
from sidecar.demo.observation import Observation
from sidecar.demo.reading import SideReading, read_destination
from sidecar.demo.screen import DemoScreen
from sidecar.demo.script import Script
from sidecar.demo.stage import ADMIN_PORT, Child, Stage, StageError, choose_admin_port, free_ports

FRAME = 0.25
LINE = 1.0
LIGHT_RATE = 20.0
"""Requests per second that go on under `--keep`."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The pages to open, as ports of 127.0.0.1."""

    admin: int
    payments: int  # the dependency through the sidecar
    dependency: int  # the dependency itself


class Show:
    """One run of the demo. `addresses` is known once the account has been given."""

    def __init__(
        self, console: Console, script: Script, stage: Stage, *, fast: bool, seed: int, admin_port: int | None
    ) -> None:
        self.addresses: Addresses | None = None
        self._console = console
        self._script = script
        self._stage = stage
        self._fast = fast
        self._seed = seed
        self._admin_port = admin_port
        self._governed = Observation("with the sidecar")
        self._naive = Observation(f"naive, {script.retries} retries")
        self._reading: SideReading | None = None

    async def play(self, folder: Path) -> Account:
        """Play the script and return the account of it. Raises StageError when a process cannot start or dies."""
        admin, egress, payments = self._ports()
        flags = ["--seed", str(self._seed), *(["--fast"] if self._fast else [])]
        dependencies = await asyncio.gather(
            self._stage.child("the governed dependency", "dependency", flags, self._governed.hear_dependency),
            self._stage.child("the naive client's dependency", "dependency", flags, self._naive.hear_dependency),
        )
        behind, direct = (_port(dependency) for dependency in dependencies)
        document = settings.write(folder, self._script, admin=admin, egress=egress, port=payments, dependency=behind)
        self.addresses = Addresses(admin, payments, behind)
        await self._stage.sidecar(document, admin)
        self._console.print(f"The live page: http://127.0.0.1:{admin}/", markup=False, highlight=False, soft_wrap=True)
        script = self._script
        length = ["--seconds", str(script.seconds), "--rate", str(script.rate)]
        habits = ["--retries", str(script.retries), "--backoff", str(script.backoff), "--per-try", str(script.per_try)]
        traffics = await asyncio.gather(
            self._traffic("the governed traffic", payments, length, self._governed),
            self._traffic("the naive traffic", direct, [*length, *habits], self._naive),
        )
        for child in (*dependencies, *traffics):
            child.say("start")
        await self._watch(traffics)
        await self._stage.end(traffics[1])
        await self._stage.end(dependencies[1])
        return Account(
            script=script,
            seed=self._seed,
            governed=figures(self._governed, script),
            naive=figures(self._naive, script),
            sides=(self._governed, self._naive),
            reading=self._reading,
        )

    async def keep(self) -> None:
        """Go on with light traffic through the sidecar until cancelled. Raises StageError when a process dies."""
        if self.addresses is None:
            raise StageError("there is nothing to keep before the play")
        rate = ["--rate", str(LIGHT_RATE)]
        child = await self._traffic("the light traffic", self.addresses.payments, rate, Observation("light"))
        child.say("start")
        while True:
            await asyncio.sleep(LINE)
            self._stage.check()

    def _ports(self) -> tuple[int, int, int]:
        egress, payments = free_ports(2)
        return choose_admin_port(self._admin_port), egress, payments

    async def _traffic(self, name: str, port: int, arguments: list[str], side: Observation) -> Child:
        common = ["--port", str(port), "--seed", str(self._seed), "--deadline", str(self._script.deadline)]
        return await self._stage.child(name, "traffic", [*common, *arguments], side.hear_traffic)

    async def _watch(self, traffics: tuple[Child, Child]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        reading = asyncio.create_task(self._keep_reading())
        screen = DemoScreen(self._console, self._script)
        try:
            if self._console.is_terminal:
                with Live(console=self._console, auto_refresh=False, transient=True) as live:

                    def draw(seconds: float) -> None:
                        seconds = min(seconds, self._script.seconds + FRAME)
                        live.update(screen.frame(seconds, self._governed, self._naive, self._reading), refresh=True)

                    await self._until_done(traffics, began, FRAME, draw)
            else:

                def write(seconds: float) -> None:
                    if seconds > self._script.seconds + LINE:
                        return  # nothing is sent any more; the last answers are awaited
                    line = screen.line(seconds, self._governed, self._naive, self._reading)
                    self._console.print(line, markup=False, highlight=False, soft_wrap=True)

                await self._until_done(traffics, began, LINE, write)
        finally:
            reading.cancel()

    async def _until_done(
        self, traffics: tuple[Child, Child], began: float, step: float, draw: Callable[[float], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        due = began
        while not all(child.done for child in traffics):
            due += step
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._stage.check()
            draw(loop.time() - began)
        # the dependencies tell the last slots a little later than the callers
        await asyncio.sleep(FRAME * 2)
        self._stage.check()

    async def _keep_reading(self) -> None:
        port = self.addresses.admin if self.addresses is not None else ADMIN_PORT
        while True:
            heard = await read_destination(port, settings.DESTINATION)
            self._reading = heard or self._reading
            await asyncio.sleep(FRAME)


def _port(child: Child) -> int:
    return int(str(child.ready.result()["port"]))
