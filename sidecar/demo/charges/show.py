"""The run of `sidecar demo --charges`: both sides set up, the orders paid, the services asked for their counts."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live

from sidecar.demo.charges.account import ChargeAccount
from sidecar.demo.charges.board import ChargesBoard
from sidecar.demo.charges.gate_settings import write_gate
from sidecar.demo.charges.play import ChargePlay
from sidecar.demo.charges.service import COUNTS
from sidecar.demo.charges.side import ChargeSide
from sidecar.demo.reading import fetch
from sidecar.demo.stage import Child, Stage, StageError, choose_admin_port, free_ports

FRAME = 0.25
LINE = 1.0
KEPT_RATE = 2.0
"""Orders per second that go on under `--keep`."""


@dataclass(frozen=True, slots=True)
class ChargePlaces:
    """The pages to open, as ports of 127.0.0.1."""

    admin: int
    ingress: int
    gated: int  # the service behind the gate
    naive: int  # the service that is called directly
    board: int


class ChargesShow:
    """One run. `places` is known as soon as both sides are up."""

    def __init__(self, console: Console, play: ChargePlay, stage: Stage, *, seed: int, admin_port: int | None) -> None:
        self.places: ChargePlaces | None = None
        self._console = console
        self._play = play
        self._stage = stage
        self._seed = seed
        self._admin_port = admin_port
        self._gated = ChargeSide("behind the gate")
        self._naive = ChargeSide("naive")
        self._over = False
        self._board: ChargesBoard | None = None

    async def play(self, folder: Path) -> ChargeAccount:
        """Pay the orders on both sides and give the account. Raises StageError when a process cannot start or dies."""
        ingress, egress = free_ports(2)
        admin = choose_admin_port(self._admin_port)
        flags = ["--seed", str(self._seed)]
        services = await asyncio.gather(
            self._stage.child("the gated service", "charges.service", flags, self._gated.hear_service),
            self._stage.child("the naive client's service", "charges.service", flags, self._naive.hear_service),
        )
        gated, naive = map(_port, services)
        document = write_gate(folder, admin=admin, egress=egress, port=ingress, service=gated)
        await self._stage.sidecar(document, admin)
        live_page = f"http://127.0.0.1:{admin}/"
        self._board = ChargesBoard(lambda: (self._account(), self._over), f"{live_page}#h-keys")
        self.places = ChargePlaces(admin, ingress, gated, naive, await self._board.start())
        for line in (
            f"The table as a page: http://127.0.0.1:{self.places.board}/",
            f"The live page: {live_page}",
        ):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        payers = await self._payers(["--seconds", str(self._play.seconds)], self._play.rate)
        await self._watch(payers)
        await self._count_again()
        self._over = True
        return self._account()

    async def keep(self) -> None:
        """Go on with a few orders on both sides until cancelled. Raises StageError when a process dies."""
        self._over = False
        for side in (self._gated, self._naive):
            side.begin_again()
        await self._payers(["--first", str(self._gated.client.orders + 1)], KEPT_RATE)
        while True:
            await asyncio.sleep(LINE)
            self._stage.check()

    def close(self) -> None:
        """Serve the page no more."""
        if self._board is not None:
            self._board.stop()

    def _account(self) -> ChargeAccount:
        return ChargeAccount(self._play, self._seed, self._gated, self._naive)

    async def _payers(self, length: list[str], rate: float) -> tuple[Child, Child]:
        if self.places is None:
            raise StageError("there is no one to pay before the play")
        common = ["--seed", str(self._seed), "--rate", str(rate), *length]
        payers = await asyncio.gather(
            self._stage.child(
                "the client behind the gate",
                "charges.payer",
                ["--port", str(self.places.ingress), "--key", *common],
                self._gated.hear_client,
            ),
            self._stage.child(
                "the naive client",
                "charges.payer",
                ["--port", str(self.places.naive), *common],
                self._naive.hear_client,
            ),
        )
        for payer in payers:
            payer.say("start")
        return payers

    async def _watch(self, payers: tuple[Child, Child]) -> None:
        began = asyncio.get_running_loop().time()
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False, transient=True) as live:

                def draw(seconds: float) -> None:
                    live.update(self._account().table(f"{seconds:4.1f} s"), refresh=True)

                await self._until_done(payers, began, FRAME, draw)
        else:

            def write(seconds: float) -> None:
                self._console.print(self._account().line(seconds), markup=False, highlight=False, soft_wrap=True)

            await self._until_done(payers, began, LINE, write)

    async def _until_done(
        self, payers: tuple[Child, Child], began: float, step: float, draw: Callable[[float], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        due = began
        while not all(payer.done for payer in payers):
            due += step
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._stage.check()
            draw(loop.time() - began)

    async def _count_again(self) -> None:
        """The services' last word, after every answer that was under way: what they told before may be a moment old."""
        assert self.places is not None
        await asyncio.sleep(self._play.late_work + FRAME)
        for side, port in ((self._gated, self.places.gated), (self._naive, self.places.naive)):
            try:
                _, body = await fetch(port, COUNTS)
                side.hear_service(json.loads(body))
            except (OSError, ValueError, KeyError) as error:
                raise StageError(f"the service of {side.name} does not say what it charged: {error}") from error


def _port(child: Child) -> int:
    return int(str(child.ready.result()["port"]))
