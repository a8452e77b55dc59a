"""What a soak consists of: each stage moves something through one proxy, and may take so much memory and no more."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from loadtest.generator import ClosedLoop, IdleCrowd
from loadtest.meter import Meter
from loadtest.soak.caller import Caller, WrongError
from loadtest.soak.origin import Origin
from loadtest.workload import WORKLOADS

MEGABYTE: Final = 1_000_000
SLOW_SECONDS: Final = 4.0
"""About how long a slow transfer is made to take."""
DEAF_SECONDS: Final = 2.0
"""How long somebody does not read."""
KERNEL_BYTES: Final = 24 * MEGABYTE
"""What four kernel buffers of two connections may hold of a body that nobody reads, and more than enough."""
CROWD: Final = 32
LEVEL: Final = 0.2
"""Share of the requests after which memory has to stay level: buffers, pools and caches are filled by then."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything: bytes of a body, requests, idle connections."""

    body_bytes: int = 200 * MEGABYTE
    requests: int = 1_000_000
    connections: int = 1_000


@dataclass(slots=True)
class Soaked:
    """The proxy under soak: its port, its meter, and the origin behind it."""

    port: int
    meter: Meter
    origin: Origin
    size: Size
    from_bytes: int = 0

    def count_from_here(self) -> None:
        """Growth is counted from what it takes now."""
        self.from_bytes = self.meter.memory().rss_bytes
        self.meter.forget_peak()

    @property
    def grown(self) -> float:
        """MB by which its peak lies over what it took when counting began."""
        return (self.meter.peak_bytes() - self.from_bytes) / MEGABYTE


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing to do. Its bar is in MB, for the size of `per`; the function raises WrongError."""

    name: str
    title: str
    bar: float
    soak: Callable[[Soaked], Awaitable[None]]


async def _download(soaked: Soaked) -> None:
    async with Caller(soaked.port) as caller:
        await caller.download(f"/give/{soaked.size.body_bytes}", soaked.size.body_bytes)


async def _download_chunked(soaked: Soaked) -> None:
    async with Caller(soaked.port) as caller:
        await caller.download(f"/pour/{soaked.size.body_bytes}", soaked.size.body_bytes)


async def _download_slowly(soaked: Soaked) -> None:
    async with Caller(soaked.port, pause=_pause(soaked.size.body_bytes, 65_536)) as caller:
        await caller.download(f"/give/{soaked.size.body_bytes}", soaked.size.body_bytes)


async def _download_deaf(soaked: Soaked) -> None:
    """The response is asked for and never read: the origin can not get rid of more than the kernel takes."""
    async with Caller(soaked.port) as caller:
        before = soaked.origin.sent
        await caller.ask(f"/give/{max(soaked.size.body_bytes, 4 * KERNEL_BYTES)}")
        await asyncio.sleep(DEAF_SECONDS)
        _within_kernel(soaked.origin.sent - before, "given to a proxy whose caller does not read")


async def _upload(soaked: Soaked) -> None:
    async with Caller(soaked.port) as caller:
        await caller.upload(soaked.size.body_bytes, chunked=False)


async def _upload_chunked(soaked: Soaked) -> None:
    async with Caller(soaked.port) as caller:
        await caller.upload(soaked.size.body_bytes, chunked=True)


async def _upload_slowly(soaked: Soaked) -> None:
    async with Caller(soaked.port, pause=_pause(soaked.size.body_bytes, 262_144)) as caller:
        await caller.upload(soaked.size.body_bytes, chunked=False)


async def _upload_to_slow(soaked: Soaked) -> None:
    soaked.origin.pause = _pause(soaked.size.body_bytes, 65_536)
    try:
        async with Caller(soaked.port) as caller:
            await caller.upload(soaked.size.body_bytes, chunked=False)
    finally:
        soaked.origin.pause = 0.0


async def _upload_to_deaf(soaked: Soaked) -> None:
    """The origin does not read: the caller can not get rid of more than the kernel takes, until it reads after all."""
    origin, before = soaked.origin, soaked.origin.received
    length = max(soaked.size.body_bytes, 4 * KERNEL_BYTES)
    origin.reads = False
    try:
        async with Caller(soaked.port) as caller:
            sending = asyncio.ensure_future(caller.upload(length, chunked=False))
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(sending), DEAF_SECONDS)
            if sending.done():
                raise WrongError("an upload that nobody read came to an end")
            held = origin.received - before
            origin.reads = True
            await sending
    finally:
        origin.reads = True
    _within_kernel(held, "taken by an origin that does not read")


async def _idle(soaked: Soaked) -> None:
    crowd = IdleCrowd(soaked.port, WORKLOADS["get"], soaked.size.connections)
    await crowd.hold(lambda: None)
    if crowd.errors:
        raise WrongError(", ".join(f"{reason} ({count})" for reason, count in crowd.errors.most_common()))


async def _requests(soaked: Soaked) -> None:
    """Many small requests; counting begins when a part of them has filled what there is to fill."""
    for count in (int(LEVEL * soaked.size.requests), soaked.size.requests - int(LEVEL * soaked.size.requests)):
        soaked.count_from_here()
        loop = ClosedLoop(soaked.port, WORKLOADS["get"], CROWD)
        errors = await loop.ask(count)
        if errors:
            raise WrongError(", ".join(f"{reason} ({number})" for reason, number in errors.items()))


def _pause(body_bytes: int, piece_bytes: int) -> float:
    return SLOW_SECONDS * piece_bytes / body_bytes


def _within_kernel(held: int, what: str) -> None:
    if held > KERNEL_BYTES:
        raise WrongError(f"{held / MEGABYTE:.0f} MB {what}")


STREAM_MB: Final = 5.0
STAGES: Final = {
    stage.name: stage
    for stage in (
        Stage("download", "download", STREAM_MB, _download),
        Stage("download-chunked", "download, chunked", STREAM_MB, _download_chunked),
        Stage("download-slow", "download, the caller reads slowly", STREAM_MB, _download_slowly),
        Stage("download-deaf", "download, the caller never reads", STREAM_MB, _download_deaf),
        Stage("upload", "upload", STREAM_MB, _upload),
        Stage("upload-chunked", "upload, chunked", STREAM_MB, _upload_chunked),
        Stage("upload-slow", "upload, the caller writes slowly", STREAM_MB, _upload_slowly),
        Stage("upload-to-slow", "upload, the origin reads slowly", STREAM_MB, _upload_to_slow),
        Stage("upload-to-deaf", "upload, the origin does not read", STREAM_MB, _upload_to_deaf),
        Stage("idle", "idle keep-alive connections", 25.0, _idle),
        Stage("requests", "small requests, after the first fifth", STREAM_MB, _requests),
    )
}
