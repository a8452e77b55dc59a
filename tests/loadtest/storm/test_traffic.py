"""The load: open-loop, the same for everybody, and bounded by its deadline."""

import asyncio
from itertools import pairwise
from time import monotonic

import pytest

from loadtest.storm.traffic import Traffic, requests
from tests.loadtest.storm.witnesses import HANG


class Answering:
    """Answers each request in its own way."""

    def __init__(self, *answers: int | Exception | None) -> None:
        self._answers = answers

    async def get_answer(self, number: int, destination: int, *, post: bool) -> int:
        answer = self._answers[number]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer


def test_a_seed_gives_the_same_requests_each_time() -> None:
    assert requests(HANG, 7) == requests(HANG, 7)
    assert requests(HANG, 7) != requests(HANG, 8)


def test_the_requests_come_at_their_rate_and_are_of_both_kinds() -> None:
    made = requests(HANG, 1)

    assert len(made) == pytest.approx(HANG.rate * HANG.seconds, rel=0.05)
    assert sum(request.post for request in made) == pytest.approx(0.1 * len(made), rel=0.2)
    assert all(one.began < other.began for one, other in pairwise(made))


async def test_what_a_request_came_to_is_written_down_and_nobody_waits_for_another() -> None:
    planned = requests(HANG, 1)[:4]
    traffic = Traffic(Answering(None, 200, 503, ConnectionResetError()), deadline=0.1)

    await traffic.send(planned, monotonic())

    assert [request.status for request in planned] == [0, 200, 503, 0]
    assert planned[0].ended - planned[0].began == pytest.approx(0.1, abs=0.08)
    assert planned[1].ended < planned[0].ended
