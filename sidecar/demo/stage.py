"""The processes of the demo: started, spoken to, and ended by their id."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sidecar.demo.reading import fetch

ADMIN_PORT = 16000
"""The usual port of a sidecar's admin."""
START_SECONDS = 20.0
"""A cold interpreter on a busy machine is slow to start."""
END_SECONDS = 3.0

Hear = Callable[[Mapping[str, object]], None]


class StageError(Exception):
    """The demo cannot go on; the message is one line for the person who started it."""


class Child:
    """A process of ours that tells JSON lines and takes commands."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, hear: Hear) -> None:
        self.name = name
        self.process = process
        self.ready: asyncio.Future[Mapping[str, object]] = asyncio.get_running_loop().create_future()
        self.done = False
        self._hear = hear
        self.listening = asyncio.create_task(self._listen())

    def say(self, command: str) -> None:
        """Send one command."""
        if self.process.stdin is not None:
            self.process.stdin.write(f"{command}\n".encode())

    async def _listen(self) -> None:
        if self.process.stdout is None or self.process.stderr is None:
            raise StageError(f"{self.name}: started without pipes")
        async for line in self.process.stdout:
            message = json.loads(line)
            match message["event"]:
                case "ready":
                    self.ready.set_result(message)
                case "counts":
                    self._hear(message)
                case "done":
                    self.done = True
        said = (await self.process.stderr.read()).decode(errors="replace").strip().splitlines()
        code = await self.process.wait()
        if not self.done:
            raise StageError(f"{self.name} ended with code {code}" + (f": {said[-1]}" if said else ""))


class Stage:
    """Everything that runs beside the demo's own process. `close` ends all of it."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "sidecar.log"
        self._folder = folder
        self._children: list[Child] = []
        self._sidecar: asyncio.subprocess.Process | None = None

    async def child(self, name: str, module: str, arguments: list[str], hear: Hear) -> Child:
        """Start `python -m sidecar.demo.<module>` and wait until it is ready."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"sidecar.demo.{module}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the demo, which then ends its children in order
        )
        child = Child(name, process, hear)
        self._children.append(child)
        waited: set[asyncio.Future[Any]] = {child.ready, child.listening}
        await asyncio.wait(waited, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if child.listening.done():
            child.listening.result()
        if not child.ready.done():
            raise StageError(f"{name} did not start within {START_SECONDS:.0f} s")
        return child

    async def sidecar(self, document: Path, admin: int) -> None:
        """Start `sidecar run --config document` and wait until its admin port says that it is ready."""
        with self.log.open("wb") as log:
            self._sidecar = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "sidecar.demo.parent_watchdog",
                "run",
                "--config",
                str(document),
                stdin=asyncio.subprocess.PIPE,  # it ends when this does, even if we are killed
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        loop = asyncio.get_running_loop()
        give_up = loop.time() + START_SECONDS
        while loop.time() < give_up:
            self.check()
            with suppress(OSError):
                status, _ = await fetch(admin, "/readyz")
                if status == 200:
                    return
            await asyncio.sleep(0.05)
        raise StageError(f"the sidecar was not ready within {START_SECONDS:.0f} s{self._last_words()}")

    def check(self) -> None:
        """Raise StageError if a process has ended that should not have."""
        for child in self._children:
            if child.listening.done():
                child.listening.result()
        if self._sidecar is not None and self._sidecar.returncode is not None:
            raise StageError(f"the sidecar ended with code {self._sidecar.returncode}{self._last_words()}")

    async def end(self, child: Child) -> None:
        """Close its stdin, which ends it, and wait."""
        child.done = True
        _close_stdin(child.process)
        await _ended(child.process)

    async def close(self) -> None:
        """End every process: ask, wait, then kill by id."""
        for child in self._children:
            child.done = True
            if not child.listening.cancel():
                child.listening.exception()  # told by check(), if it was
            _close_stdin(child.process)
        processes = [child.process for child in self._children]
        if self._sidecar is not None:
            _signal(self._sidecar, signal.SIGTERM)
            processes.append(self._sidecar)
        await asyncio.gather(*map(_ended, processes))

    def kill(self) -> None:
        """End every process at once, for when there is no time to ask."""
        for process in [child.process for child in self._children] + ([self._sidecar] if self._sidecar else []):
            _signal(process, signal.SIGKILL)

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f": {lines[-1]}" if lines else ""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 without a listener at the moment, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def is_free(port: int) -> bool:
    """Whether this port of 127.0.0.1 has no listener."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_admin_port(wanted: int | None) -> int:
    """The port asked for, else the usual one if it is free, else any. Raises StageError if `wanted` is in use."""
    if wanted is not None:
        if not is_free(wanted):
            raise StageError(f"--admin-port: 127.0.0.1:{wanted} is in use")
        return wanted
    return ADMIN_PORT if is_free(ADMIN_PORT) else free_ports(1)[0]


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _close_stdin(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
