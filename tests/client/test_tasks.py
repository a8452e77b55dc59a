"""The runner of a task; what calls come to through it is in test_governed."""

import asyncio
from threading import Lock, Thread

from sidecar.client.call import AttemptOutcome, GovernedCall
from sidecar.client.tasks import Wakener, run_in_task
from sidecar.engine.destination import Destination
from tests.client.conftest import quick_policy


async def test_a_wakener_is_woken_from_other_threads() -> None:
    wakener = Wakener()
    thread = Thread(target=wakener.notify)

    thread.start()
    await wakener.wait()

    thread.join()


async def test_a_wakener_of_a_loop_that_is_closed_is_passed_over() -> None:
    def make() -> Wakener:
        async def inside() -> Wakener:
            return Wakener()

        return asyncio.run(inside())

    wakener = await asyncio.to_thread(make)

    wakener.notify()


async def test_an_answer_that_comes_as_its_attempt_is_called_off_is_disposed_of() -> None:
    wakener = Wakener()
    call: GovernedCall[int] = GovernedCall(
        Destination("payments", quick_policy(per_attempt_timeout=0.01), lambda: 0.5, 0.0),
        Lock(),
        wakener.notify,
        number=1,
        now=asyncio.get_running_loop().time(),
        repeatable_until=float("inf"),
        replayable=True,
        overlapping=True,
    )
    disposed = []
    both = asyncio.Event()

    async def make(number: int) -> AttemptOutcome[int]:
        if number == 2:
            both.set()
        await both.wait()
        return AttemptOutcome(value=number)

    async def dispose(outcome: AttemptOutcome[int]) -> None:
        disposed.append(outcome.value)

    await run_in_task(call, make, dispose, wakener, asyncio.get_running_loop().time)

    assert sorted([call.delivered, *(each for each in disposed if each)]) == [1, 2]
