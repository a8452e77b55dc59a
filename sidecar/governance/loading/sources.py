"""The sources of documents: files, watched until they say something else.

A kubelet swaps a symbolic link, an editor renames over, a person deletes and writes again: what is watched is the
directories, what is compared is the bytes, and a poll stands behind both.
"""

import asyncio
import importlib
import os
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from sidecar.governance.loading.reading import read

SETTLE = 0.25
"""Seconds without a further event before files are read."""
POLL = 30.0
"""Seconds after which files are read although no event came."""

_EVENTS: Final = "watchfiles"
"""Loaded when the first files are watched, and requests are served already: it takes multiprocessing along."""
_LONGEST_SETTLE = 8
"""In settle times: a directory that is never quiet is read nevertheless."""


class WatchedFiles:
    """Some files whose bytes are known by `fingerprint`, as a Reading has it. Times are seconds."""

    def __init__(self, files: Sequence[Path], fingerprint: str, *, settle: float = SETTLE, poll: float = POLL) -> None:
        self.fingerprint = fingerprint
        """Of what the files said when they were read last."""
        self.read_at = time.time()
        """When that was, by the wall clock."""
        self._files = tuple(files)
        self._settle = settle
        self._poll = poll
        self._stirred = asyncio.Event()

    def follow(self, files: Sequence[Path], fingerprint: str) -> None:
        """Watch these from now on, as they were read last: a new sidecar file may name another policy."""
        self.fingerprint = fingerprint
        self.read_at = time.time()
        if self._files != tuple(files):
            self._files = tuple(files)
            self._stirred.set()

    async def watch(self, changed: Callable[[], Awaitable[None]]) -> None:
        """Await `changed` whenever the bytes are others than before, or can not be read any more; until cancelled."""
        awatch = (await asyncio.to_thread(importlib.import_module, _EVENTS)).awatch
        while True:
            directories = await asyncio.to_thread(_directories, self._files)
            events = asyncio.create_task(self._events(tuple(directories), awatch))
            try:
                # One turn of the loop puts the watch in place; what happened before it is seen by the first reading.
                await asyncio.sleep(0)
                while await asyncio.to_thread(_directories, self._files) == directories:
                    await self._compare(changed)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._poll):
                            await self._stirred.wait()
                    self._stirred.clear()
            finally:
                events.cancel()
                await asyncio.gather(events, return_exceptions=True)

    async def _compare(self, changed: Callable[[], Awaitable[None]]) -> None:
        fingerprint = (await asyncio.to_thread(read, self._files)).fingerprint
        self.read_at = time.time()
        if fingerprint != self.fingerprint:
            self.fingerprint = fingerprint
            await changed()

    async def _events(self, directories: Sequence[Path], awatch: Callable[..., AsyncIterator[object]]) -> None:
        """Stir on every event. Where the system gives none, out of watches perhaps, the poll remains."""
        if not directories:
            return
        settle_ms = max(1, round(self._settle * 1000))
        with suppress(OSError, RuntimeError):
            async for _ in awatch(
                *directories,
                watch_filter=None,
                recursive=False,
                step=settle_ms,
                debounce=settle_ms * _LONGEST_SETTLE,
            ):
                self._stirred.set()


def _directories(files: Sequence[Path]) -> Mapping[Path, tuple[int, int]]:
    """The directories in which files, and what links lead to, can change, each by its device and inode.

    For a directory that is not there, the nearest one around it that is: it will be seen when it comes.
    """
    found: dict[Path, tuple[int, int]] = {}
    for file in files:
        # realpath, unlike Path.resolve, takes a link to itself for a file that is not there.
        for directory in (file.absolute().parent, Path(os.path.realpath(file)).parent):
            for existing in (directory, *directory.parents):
                with suppress(OSError):  # gone between two looks
                    status = existing.stat()
                    if stat.S_ISDIR(status.st_mode):
                        found[existing] = (status.st_dev, status.st_ino)
                        break
    return found
