"""Tasks end in every way there is, and each end is counted and told. Pauses take no time."""

import asyncio
from collections.abc import Callable

import pytest

from sidecar.background import BackgroundTasks
from tests.fakes.waiting import turn


class Scene:
    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.told: list[tuple[str, dict[str, object]]] = []
        self.tasks = BackgroundTasks(("watch", "reload"), self.tell, sleep=self.sleep, clock=lambda: self.now)

    def tell(self, _level: int, event: str, **fields: object) -> None:
        self.told.append((event, fields))

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await turn()

    async def ended(self, times: int) -> None:
        async with asyncio.timeout(10):
            while len(self.told) < times:
                await turn()


def failing(error: Exception) -> Callable[[], object]:
    async def work() -> None:
        raise error

    return work


async def test_a_task_that_fails_is_told_counted_and_started_again_after_growing_pauses() -> None:
    scene = Scene()

    scene.tasks.keep("watch", failing(RuntimeError("Symlink loop")))  # type: ignore[arg-type]
    await scene.ended(9)
    await scene.tasks.close()

    assert scene.pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert scene.tasks.failures["watch"] >= 9
    event, fields = scene.told[0]
    assert (event, fields["task"], fields["again_in"]) == ("background_task_ended", "watch", 1.0)
    assert str(fields["reason"]).startswith("RuntimeError: Symlink loop (test_background.py:")


async def test_a_task_that_simply_ends_is_started_again_too() -> None:
    scene = Scene()
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        await turn()

    scene.tasks.keep("watch", work)
    await scene.ended(2)
    await scene.tasks.close()

    assert runs >= 2
    assert scene.told[0][1]["reason"] == "it was over"


async def test_after_a_long_time_of_health_the_pauses_begin_anew() -> None:
    scene = Scene()
    lives = iter([0.0, 0.0, 61.0, 0.0])

    async def work() -> None:
        scene.now += next(lives, 0.0)
        raise ValueError

    scene.tasks.keep("watch", work)
    await scene.ended(4)
    await scene.tasks.close()

    assert scene.pauses[:4] == [1, 2, 1, 2]


async def test_something_that_is_done_once_is_told_when_it_fails() -> None:
    scene = Scene()

    async def broken() -> None:
        raise ValueError

    await scene.tasks.once("reload", broken())

    assert scene.tasks.failures == {"watch": 0, "reload": 1}
    assert scene.told[0][1]["again_in"] is None


async def test_what_is_inside_may_be_cancelled_by_others_and_is_seen_to_end() -> None:
    scene = Scene()
    inner: list[asyncio.Future[None]] = []

    async def work() -> None:
        inner.append(asyncio.get_running_loop().create_future())
        await inner[-1]

    scene.tasks.keep("watch", work)
    await turn()
    inner[0].cancel()
    await scene.ended(1)
    await scene.tasks.close()

    assert scene.told[0][1]["reason"] == "it was cancelled"


async def test_closing_ends_all_of_them_without_a_word() -> None:
    scene = Scene()

    scene.tasks.keep("watch", asyncio.Event().wait)
    once = scene.tasks.once("reload", asyncio.Event().wait())
    await turn()
    await scene.tasks.close()

    assert once.cancelled()
    assert scene.told == []


async def test_a_name_that_is_not_known_is_a_mistake_of_ours() -> None:
    scene = Scene()

    scene.tasks.keep("wach", failing(ValueError()))  # type: ignore[arg-type]

    with pytest.raises(KeyError):
        await next(iter(scene.tasks._tasks))
