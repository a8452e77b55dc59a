"""Sidecars in the test's own loop."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from sidecar.app import Sidecar
from sidecar.governance.loading.loader import PolicyLoader
from sidecar.governance.policy.snapshot import Snapshot, from_flags
from sidecar.net import Address
from sidecar.telemetry.log import Format, Log, LogLevel
from tests.fakes.documents import EXCEPTION, NOW, OVERRIDE, POLICY, SIDECAR
from tests.fakes.policies import Shelf, loaded
from tests.fakes.waiting import turn


def snapshot_for(port: int, *, timeout: float = 5.0, digest: str = "a") -> Snapshot:
    snapshot = from_flags("checkout", [f"payments=http://127.0.0.1:{port}"], "127.0.0.1:0", None, NOW)
    destinations = {
        name: replace(destination, policy=replace(destination.policy, timeout=timeout))
        for name, destination in snapshot.destinations.items()
    }
    return replace(snapshot, admin=Address("127.0.0.1", 0), destinations=destinations, digest=digest)


@asynccontextmanager
async def running(first: Snapshot, tmp_path: Path, shelf: Shelf | None = None) -> AsyncIterator[Sidecar]:
    """A sidecar under `first`; what it loads later lies on the shelf."""
    begin = loaded(first)
    with (tmp_path / "log").open("wb") as file:
        log = Log(Format.JSON, LogLevel.INFO, file.fileno())
        sidecar = Sidecar(shelf or Shelf([begin]), begin, log)
        await sidecar.start()
        try:
            yield sidecar
        finally:
            await sidecar.close()
            log.close()
            await turn(5)


def address_of(sidecar: Sidecar) -> str:
    return f"http://{next(iter(sidecar.route_table.listeners.values())).address}"


@asynccontextmanager
async def under_an_exception(port: int, tmp_path: Path, wall: Callable[[], datetime]) -> AsyncIterator[Sidecar]:
    """`payments` may spend 0.35 of its requests on retries while EX-1 is live."""
    document = SIDECAR.replace("http://payments:8080", f"http://127.0.0.1:{port}") + OVERRIDE
    document += 'admin: {listen: "127.0.0.1:0"}\negress: {listen: ["127.0.0.1:0"]}\n'
    (tmp_path / "sidecar.yaml").write_text(document, encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(POLICY + EXCEPTION, encoding="utf-8")
    loader = PolicyLoader(tmp_path / "sidecar.yaml", "pod", wall=wall)
    first = await loader.first(strict=True)
    (tmp_path / "policy.yaml").unlink()
    with (tmp_path / "log").open("wb") as file:
        log = Log(Format.JSON, LogLevel.INFO, file.fileno())
        sidecar = Sidecar(loader, first, log, wall)
        await sidecar.start()
        try:
            yield sidecar
        finally:
            await sidecar.close()
            log.close()
            await turn(5)
