"""The set-up of every child process of the demo: uvloop, the file limit, and an end when its parent ends."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import uvloop

try:
    import resource
except ImportError:  # not on this system: then its own default has to do
    resource = None  # type: ignore[assignment]

SOCKETS = 4096


def run(work: Coroutine[object, object, None]) -> int:
    """Run `work` to its end and return the exit code. Ctrl-C is the parent's business and ends it quietly."""
    _allow_sockets()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().set_exception_handler(_fail)
            runner.run(work)
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


async def commands() -> AsyncIterator[str]:
    """The lines of stdin, until the parent closes it or is gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()


def _fail(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Whatever a callback did not foresee ends the process: figures must not come from half a dependency."""
    loop.default_exception_handler(context)
    sys.stderr.write(f"{context.get('exception') or context['message']!r}\n")
    sys.stderr.flush()
    os._exit(70)


def _allow_sockets() -> None:
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS if hard == resource.RLIM_INFINITY else min(SOCKETS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
