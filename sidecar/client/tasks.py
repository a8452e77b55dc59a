"""Runs a call as a task of asyncio: late attempts are asked about, and go on beside their retry."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

from sidecar.client.call import AttemptOutcome, GovernedCall

T = TypeVar("T")


class Wakener:
    """A call's `notify` for the loop that runs it: calls of other threads may free the slot that it waits for."""

    __slots__ = ("_event", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake the runner, from any thread. A loop that is closed has no runner any more."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            self._event.set()
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    def clear(self) -> None:
        """Forget the news so far; `wait` waits for the next."""
        self._event.clear()

    async def wait(self) -> None:
        """Wait for the next `notify`."""
        await self._event.wait()


async def run_in_task(
    call: GovernedCall[T],
    make: Callable[[int], Coroutine[None, None, AttemptOutcome[T]]],
    dispose: Callable[[AttemptOutcome[T]], Awaitable[None]],
    wakener: Wakener,
    clock: Callable[[], float],
) -> None:
    """Run `call` to its end. When its own task is cancelled the call is abandoned, and its attempts with it.

    `make` and `dispose` are those of `threads.run_in_thread`; an attempt that is called off is cancelled.
    """
    under_way: dict[int, asyncio.Task[AttemptOutcome[T]]] = {}
    waking: asyncio.Task[None] | None = None
    try:
        call.begin(clock())
        while True:
            wakener.clear()
            for number in call.take_to_call_off():
                task = under_way.pop(number, None)
                if task is not None:
                    await _end(task, dispose)
                outcome = call.outcomes.pop(number, None)
                if outcome is not None:
                    await dispose(outcome)
            for number in call.take_to_send():
                under_way[number] = asyncio.create_task(make(number))
            if call.over:
                return
            wait = call.timer_at - clock()
            if wait <= 0:
                call.on_timer(clock())
                continue
            if waking is None or waking.done():
                waking = asyncio.create_task(wakener.wait())
            await asyncio.wait({waking, *under_way.values()}, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            for number, task in list(under_way.items()):
                if task.done():
                    del under_way[number]
                    call.on_outcome(number, task.result(), clock())
    except BaseException:
        call.abandon(clock())
        raise
    finally:
        if waking is not None:
            waking.cancel()
        for task in under_way.values():
            await _end(task, dispose)


async def _end(
    task: "asyncio.Task[AttemptOutcome[T]]", dispose: Callable[[AttemptOutcome[T]], Awaitable[None]]
) -> None:
    """Cancel an attempt, and close what it came to if it was quicker than that."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and task.exception() is None:
        await dispose(task.result())
