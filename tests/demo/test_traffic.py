import asyncio
from itertools import pairwise

import pytest

from sidecar.demo.counts import Requests
from sidecar.demo.traffic import Traffic, arrivals
from tests.demo.scripted import ScriptedClient


class PatientClient:
    """Answers nobody before all have asked."""

    def __init__(self, callers: int) -> None:
        self.all_here = asyncio.Barrier(callers)

    async def get(self, request_id: str, patience: float) -> int:
        await self.all_here.wait()
        return 200


def test_the_same_seed_gives_the_same_instants() -> None:
    first = list(arrivals(160.0, 5.0, seed=3))

    assert first == list(arrivals(160.0, 5.0, seed=3))
    assert first != list(arrivals(160.0, 5.0, seed=4))


@pytest.mark.parametrize("seed", range(5))
def test_the_instants_have_the_asked_rate_and_end_in_time(seed: int) -> None:
    instants = list(arrivals(160.0, 100.0, seed))

    assert all(before < later for before, later in pairwise(instants))
    assert instants[0] > 0.0
    assert instants[-1] < 100.0
    assert len(instants) == pytest.approx(16000, rel=0.05)


async def test_a_request_succeeded_when_its_status_is_2xx_and_in_no_other_case() -> None:
    client = ScriptedClient(200, 204, 302, 404, 503, TimeoutError(), ConnectionResetError())
    traffic = Traffic(client, deadline=3.0)

    await traffic.send(iter([0.0] * 7))

    assert traffic.slots.changes() == {"0": [7, 2, 2, 5]}
    assert client.patiences == [3.0] * 7
    assert len(set(client.ids)) == 7
    assert traffic.in_flight == 0


async def test_requests_leave_without_waiting_for_earlier_ones() -> None:
    traffic = Traffic(PatientClient(callers=3), deadline=3.0)

    async with asyncio.timeout(5.0):
        await traffic.send(iter([0.0, 0.0, 0.0]))

    assert sum(row[1] for row in traffic.slots.changes().values()) == 3


async def test_a_success_counts_for_the_slot_in_which_the_request_was_issued() -> None:
    traffic = Traffic(ScriptedClient(200), deadline=3.0)

    await traffic.send(iter([-1.0]))

    changes = traffic.slots.changes()
    assert changes["-1"] == [1, 1, 0, 0]
    assert Requests(*changes["0"]).ended_well == 1
