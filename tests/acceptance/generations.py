"""Sidecars that follow each other on the same ports, each a process of its own."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.origin import Origin


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def write_file(folder: Path, origin: Origin, **more: object) -> tuple[Path, int, int]:
    """A sidecar file, its egress port and its ingress port."""
    egress, ingress = free_port(), free_port()
    document = {
        "service": "checkout",
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "egress": {"listen": [f"127.0.0.1:{free_port()}"]},
        "destinations": {
            "payments": {"endpoints": [f"http://127.0.0.1:{origin.port}"], "listen": f"127.0.0.1:{egress}"}
        },
        "ingress": {"listen": f"127.0.0.1:{ingress}", "app": f"http://127.0.0.1:{origin.port}"},
        **more,
    }
    file = folder / "sidecar.yaml"
    file.write_text(json.dumps(document))
    return file, egress, ingress


@dataclass
class Generation:
    process: asyncio.subprocess.Process
    log: Path

    def lines(self, event: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.log.read_text().splitlines()) if line["event"] == event]

    async def started(self) -> None:
        for _ in range(1500):
            if b'"event":"start"' in self.log.read_bytes().replace(b": ", b":"):
                return
            assert self.process.returncode is None, self.log.read_text()
            await asyncio.sleep(0.01)
        raise AssertionError(self.log.read_text())

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 20)


@asynccontextmanager
async def starting(file: Path, *flags: str, name: str = "log", **more: Any) -> AsyncIterator[Generation]:
    log = file.parent / name
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecar", "run", "--config", str(file), *flags, stderr=stderr, **more
        )
    generation = Generation(process, log)
    try:
        await generation.started()
        yield generation
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
