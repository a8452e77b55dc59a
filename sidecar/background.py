"""Tasks that go on beside requests. One place starts them, so that none of them can end unseen.

A task that is kept is started again when it ends, whyever it does, after a pause that doubles from 1 s to 60 s. Each
end is counted and told. asyncio itself is silent about a task whose exception is not awaited.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final, Protocol

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0


class TaskEndLog(Protocol):
    """The log of an end: a level of `logging`, the event, and its fields."""

    def __call__(self, level: int, event: str, **fields: object) -> object:
        """Write one line."""


class BackgroundTasks:
    """The tasks of one process. `names` are all that may be started, each the value of a label."""

    def __init__(
        self,
        names: tuple[str, ...],
        tell: TaskEndLog,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.failures: dict[str, int] = dict.fromkeys(names, 0)
        """The number of times that each of them has ended by itself, since the start."""
        self._tell = tell
        self._sleep = sleep
        self._clock = clock or asyncio.get_running_loop().time
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        """Have `work` going on until `close`: started now, and again whenever it ends."""
        self._start(self._kept(name, work))

    def once(self, name: str, work: Awaitable[object]) -> asyncio.Task[None]:
        """Run `work` in a task that need not be awaited. The task that is returned raises nothing."""
        return self._start(self._done(name, work))

    async def close(self) -> None:
        """Cancel what goes on, and wait until it has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _kept(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = self._clock()
            reason = await self._outcome(work())
            if self._clock() - began >= LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._ended(name, reason or "it was over", again_in=pause)
            await self._sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)

    async def _done(self, name: str, work: Awaitable[object]) -> None:
        reason = await self._outcome(work)
        if reason is not None:
            self._ended(name, reason, again_in=None)

    async def _outcome(self, work: Awaitable[object]) -> str | None:
        """The reason why `work` failed; None when it did not. Raises CancelledError when this task is cancelled."""
        try:
            await work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return "it was cancelled"
        except Exception as error:  # noqa: BLE001 - told and counted, whatever it is: that is what this is for
            return _told(error)
        return None

    def _ended(self, name: str, reason: str, *, again_in: float | None) -> None:
        self.failures[name] += 1
        self._tell(logging.ERROR, "background_task_ended", task=name, reason=reason, again_in=again_in)


def _told(error: Exception) -> str:
    """The error and where it was raised: `ValueError: no such thing (sources.py:97)`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" ({trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno})"
    text = str(error)
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"
